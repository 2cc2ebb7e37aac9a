"""Each labeller: killed after it has bought and resumed, a real run ends with the same weights, bit for bit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from runs import SMALL, Here, copy_once, copy_when_bought, deterministic, groups, purchases, rows

from actors.driver.labelling import TimedLabeller
from effrl.batch import Settled
from effrl.types import Step

SETTINGS = (*SMALL, "rollout.refill=0", "run.steps=3", "run.save_every=2", "run.sinks=[]", "eval.prompts=2")
LABELLERS = {
    "gold": "label={kind: gold, budget: {total: 20}}",
    "vote": "label={kind: vote}",
    "random, rest voted": "label={kind: random, rest: vote, budget: {per_step: 0.5}}",
    "random, rest dropped": "label={kind: random, rest: drop, budget: {per_step: 0.5}}",
    "care": "label={kind: care, budget: {per_step: 0.5}, rest: {kind: gate, warmup: 1}}",
    "plug-in": "label={kind: 'label_plugins:BelowMean'}",
}
LEARNS = {LABELLERS["care"]}


def copy_when_killed(monkeypatch: pytest.MonkeyPatch, run: Path, bought: Path, updated: Path) -> None:
    """Copy the run directory as a kill leaves it: once step 3 has bought its labels, and between its update and what
    the labeller learns."""
    learn = TimedLabeller.learn

    async def copy_then_learn(labeller: TimedLabeller, step: Step, settled: Sequence[Settled]) -> Mapping[str, float]:
        if step.number == 3:
            copy_once(run, updated)
        return await learn(labeller, step, settled)

    copy_when_bought(monkeypatch, run, bought, step=3)
    monkeypatch.setattr(TimedLabeller, "learn", copy_then_learn)


def prompts_and_fates(run: Path) -> list[list[tuple[Any, ...]]]:
    keys = ("prompt_id", "fate", "label_source", "answer", "reason")
    return [[tuple(group[key] for key in keys) for group in groups(run, step)] for step in (1, 2, 3)]


def weights(run: Path) -> dict[str, bytes]:
    """Of the policy, and of what the labeller trains, with its optimizers."""
    last = run / "checkpoints" / "step_3"
    paths = [last / "hf" / "model.safetensors", *(last / "labeller").glob("*")]
    return {path.name: path.read_bytes() for path in paths}


@pytest.mark.slow  # test_labels_resumed.py does so with the driver's services and without engines
@pytest.mark.parametrize("label", LABELLERS.values(), ids=LABELLERS)
def test_it_ends_with_the_same_weights(label: str, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "plugins"))
    whole, cut, updated = tmp_path / "whole", tmp_path / "bought", tmp_path / "updated"
    copy_when_killed(monkeypatch, whole, cut, updated)
    here("train", "quickstart", *SETTINGS, label, f"run.dir={whole}")
    bought = [line for line in purchases(cut) if line[2] == 3]
    assert len(rows(cut)) == 3 and purchases(cut) == purchases(whole), "killed after its purchases, before the commit"
    assert bool(bought) is ("vote}" not in label), "otherwise nothing could be bought again"

    assert (len(weights(whole)) > 1) is (label in {*LEARNS, LABELLERS["plug-in"]}), "both write files of their own"
    for run in (cut, updated) if label in LEARNS else (cut,):
        assert "resuming after step 2" in here("resume", run)
        assert [deterministic(row) for row in rows(run)] == [deterministic(row) for row in rows(whole)]
        assert prompts_and_fates(run) == prompts_and_fates(whole)
        assert purchases(run) == purchases(whole)
        assert weights(run) == weights(whole)
