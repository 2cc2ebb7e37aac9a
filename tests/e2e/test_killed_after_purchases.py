"""Each labeller: killed after it has bought and resumed, a real run ends with the same weights, bit for bit."""

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from runs import SMALL, Here, deterministic, groups, rows

from actors.driver.labelling import TimedLabeller
from effrl.types import Judged, ReadGroup, Step, View

SETTINGS = (*SMALL, "rollout.refill=0", "run.steps=3", "run.save_every=2", "run.sinks=[]", "eval.prompts=2")
LABELLERS = {
    "gold": "label={kind: gold, budget: {total: 20}}",
    "vote": "label={kind: vote}",
    "random, rest voted": "label={kind: random, rest: vote, budget: {per_step: 0.5}}",
    "random, rest dropped": "label={kind: random, rest: drop, budget: {per_step: 0.5}}",
    "plug-in": "label={kind: 'label_plugins:BelowMean'}",
}


def copy_when_bought(monkeypatch: pytest.MonkeyPatch, run: Path, copy: Path) -> None:
    """Copy the run directory once step 3 has bought its labels: what a kill at that moment leaves."""
    assign = TimedLabeller.assign

    async def assign_then_copy(
        labeller: TimedLabeller, step: Step, read: Sequence[ReadGroup], views: Sequence[View]
    ) -> Sequence[Judged]:
        judged = await assign(labeller, step, read, views)
        if step.number == 3:
            copy_once(run, copy)
        return judged

    monkeypatch.setattr(TimedLabeller, "assign", assign_then_copy)


def copy_once(run: Path, copy: Path) -> None:
    if not copy.exists():
        shutil.copytree(run, copy)


def purchases(run: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(run / "ledger.sqlite") as connection:
        query = "select query_id, prompt_id, step, state, cost, answer from purchases order by query_id"
        return connection.execute(query).fetchall()


def prompts_and_fates(run: Path) -> list[list[tuple[Any, ...]]]:
    keys = ("prompt_id", "fate", "label_source", "answer", "reason")
    return [[tuple(group[key] for key in keys) for group in groups(run, step)] for step in (1, 2, 3)]


@pytest.mark.parametrize("label", LABELLERS.values(), ids=LABELLERS)
def test_it_ends_with_the_same_weights(label: str, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "plugins"))
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    copy_when_bought(monkeypatch, whole, cut)
    here("train", "quickstart", *SETTINGS, label, f"run.dir={whole}")
    bought = [line for line in purchases(cut) if line[2] == 3]
    assert len(rows(cut)) == 3 and purchases(cut) == purchases(whole), "killed after its purchases, before the commit"
    assert bool(bought) is ("vote}" not in label), "otherwise nothing could be bought again"

    assert "resuming after step 2" in here("resume", cut)
    assert [deterministic(row) for row in rows(cut)] == [deterministic(row) for row in rows(whole)]
    assert prompts_and_fates(cut) == prompts_and_fates(whole)
    assert purchases(cut) == purchases(whole)
    one, other = (run / "checkpoints" / "step_3" / "hf" / "model.safetensors" for run in (whole, cut))
    assert one.read_bytes() == other.read_bytes()
