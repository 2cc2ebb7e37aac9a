"""Poisoning the labels that were not bought changes nothing, and the budget holds (docs/design.md, invariants 2, 3)."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from runs import SMALL, START_S, Here, deterministic, groups, rows

from effrl.run.groups import tally
from effrl.tasks.source import problems
from effrl.types import Fate

BUDGET = 12


def unmonitored(row: dict[str, Any]) -> dict[str, Any]:
    """What must repeat, less what the monitor tells of labels that nobody bought."""
    return {name: value for name, value in deterministic(row).items() if name != "label/vote_accuracy"}


@pytest.mark.slow  # test_poison.py shows the same of a run that has more to leak
def test_unbought_labels_can_be_poisoned(here: Here, tmp_path: Path) -> None:
    data = tmp_path / "train.jsonl"
    drawn = enumerate(problems("chain", "train", 64, 0, range(5), "abcdefgh"))
    lines = [{"id": f"p{n}", "prompt": problem.prompt, "label": problem.answer} for n, problem in drawn]
    data.write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = (*SMALL, f"data.train={data}", f"label.budget.total={BUDGET}", "rollout.refill=0", "run.steps=4")

    ledger = tmp_path / "local" / "disk" / "clean.sqlite"
    clean = here("train", "quickstart", *settings, f"label.ledger={ledger}", f"run.dir={tmp_path / 'clean'}")
    assert f"the label budget is spent: {BUDGET} labels are owned" in clean
    assert not (tmp_path / "clean" / "ledger.sqlite").exists(), "it may lie on a network drive"
    with sqlite3.connect(ledger) as connection:
        owned = {prompt_id for (prompt_id,) in connection.execute("select prompt_id from purchases")}
    assert len(owned) == BUDGET
    poisoned = [line if line["id"] in owned else {**line, "label": "999999"} for line in lines]
    data.write_text("".join(json.dumps(line) + "\n" for line in poisoned))

    here("train", "quickstart", *settings, f"run.dir={tmp_path / 'poisoned'}")
    one, other = rows(tmp_path / "clean"), rows(tmp_path / "poisoned")
    assert [unmonitored(row) for row in one] == [unmonitored(row) for row in other]
    assert [row["label/vote_accuracy"] for row in one[1:]] != [row["label/vote_accuracy"] for row in other[1:]]
    assert one[1]["groups/trained"] > 0, "otherwise nothing could have leaked"
    assert [row["label/bought_total"] for row in one[1:]] == [8, *[BUDGET] * 3], "it goes on with what is owned"
    assert [row["groups/dropped"] for row in one[1:]] == [0, 4, 8, 8]
    for run in ("clean", "poisoned"):
        rolled, fates = tally(tmp_path / run / "groups")
        assert rolled == sum(fates.values()) == 32 and fates[Fate.DROPPED] == 20
        assert all(
            (entry["fate"] == "dropped") == (entry["answer"] is None)
            for step in (1, 2, 3, 4)
            for entry in groups(tmp_path / run, step)
        )


@pytest.mark.slow
def test_a_probe_tells_what_votes_are_worth_and_buys_nothing(effrl: Any, tmp_path: Path) -> None:
    probe = effrl("labels", "probe", "ttrl", "--prompts", "8", "--out", "shares.jsonl")
    assert probe.end(START_S) == 0, probe.output()
    assert "8 of 4,096 training prompts" in probe.output() and " of 8, 95 % interval " in probe.output()
    assert probe.orphans() == []
    shares = [json.loads(line) for line in (tmp_path / "shares.jsonl").read_text().splitlines()]
    assert len({row["prompt_id"] for row in shares}) == 8 and all(0 < row["share"] <= 1 for row in shares)
    assert not (tmp_path / "runs").exists(), "there is no run, and no ledger"
