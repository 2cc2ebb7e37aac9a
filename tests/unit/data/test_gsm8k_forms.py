"""GSM8K as published: one line loads it, from JSON Lines, Parquet, and a copy of its hub repository."""

from pathlib import Path

import pyarrow.json
import pyarrow.parquet as pq
import pytest
import yaml
from layouts import GSM8K_CARD

from effrl.config import load
from effrl.data.audit import audit
from effrl.data.reader import read
from effrl.data.survey import survey
from effrl.reward.extract import final_answer

PLACES = [parent / "shared" / "data" / "gsm8k" for parent in Path(__file__).parents]


@pytest.fixture(scope="module")
def folder() -> Path:
    for place in PLACES:
        if (place / "train.jsonl").exists():
            return place
    pytest.skip(f"GSM8K IS NOT THERE: its reading goes unchecked; looked for {', '.join(map(str, PLACES))}")


@pytest.fixture(scope="module")
def copy(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its files as the hub has them."""
    root = tmp_path_factory.mktemp("hub") / "gsm8k"
    (root / "main").mkdir(parents=True)
    (root / "README.md").write_text(f"---\n{yaml.safe_dump(GSM8K_CARD)}---\n")
    for split in ("train", "test"):
        table = pyarrow.json.read_json(folder / f"{split}.jsonl")
        pq.write_table(table, root / "main" / f"{split}-00000-of-00001.parquet")
    return root


@pytest.mark.parametrize(("split", "rows"), [("train", 7473), ("test", 1319)])
def test_json_lines(folder: Path, split: str, rows: int) -> None:
    source = load.source(f"{folder}/{split}.jsonl?prompt=question&label=answer")
    found = survey(source)
    assert (found.rows, found.labelled, found.without_labels) == (rows, rows, ())
    assert all(row.prompt.meta == {} and final_answer(row.label or "") for row in read(source))


@pytest.mark.parametrize("split", ["train", "test"])
def test_other_forms_read_the_same(folder: Path, copy: Path, split: str) -> None:
    keys = "prompt=question&label=answer"
    forms = (
        f"{folder}/{split}.jsonl?{keys}",
        f"{copy}/main/{split}-00000-of-00001.parquet?{keys}",
        f"folder:{copy}?config=main&split={split}&{keys}",
    )
    contents = [[(row.prompt.content, row.label) for row in read(load.source(form))] for form in forms]
    assert contents[0] == contents[1] == contents[2]


def test_there_is_nothing_wrong_with_it(folder: Path) -> None:
    found = audit(load.source(f"{folder}/train.jsonl?prompt=question&label=answer"))
    assert found.malformed.count == found.conflicts.count == found.repeated.count == 0
