"""GSM8K as published, with the tiny model: it cannot solve it, and a batch without signal makes no step."""

from pathlib import Path

import pytest
from runs import SMALL, Here, rows

GSM8K = Path(__file__).parents[3] / "shared" / "data" / "gsm8k"


@pytest.mark.slow  # its file is read in tests/unit/reward/test_gsm8k.py
@pytest.mark.skipif(not GSM8K.is_dir(), reason=f"GSM8K is not at {GSM8K}")
def test_three_steps_on_the_train_file(here: Here, tmp_path: Path) -> None:
    source = f"{GSM8K / 'train.jsonl'}?prompt=question&label=answer"
    here("train", "quickstart", *SMALL, f"data.train={source}", "run.steps=3", "rollout.refill=0")
    taken = rows(tmp_path / "runs" / "quickstart")[1:]
    assert [row["step"] for row in taken] == [1, 2, 3]
    for row in taken:
        assert row["groups/rolled"] == 8 == row["groups/trained"] + row["groups/filtered"]
        assert ("sync/verified" in row) == (row["groups/trained"] > 0)
    assert taken[-1]["policy/version"] == sum(row["groups/trained"] > 0 for row in taken)
