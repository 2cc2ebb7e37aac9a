"""PRIME from the command line: killed between its two optimizers it goes on as if unharmed, and replays."""

from pathlib import Path

import pytest
from runs import SMALL, Here, copy_once, deterministic, groups, rows

from actors.learner.service import LearnerService
from effrl.batch import Batch
from effrl.run.checkpoint import verify
from effrl.run.groups import tally
from effrl.types import Fate, Step, Update

SETTINGS = (
    *SMALL,
    "run.steps=4",
    "rollout.prompts=8",
    "rollout.per_prompt=5",
    "replay={fresh: 0.5, capacity: 16, warmup: 1}",
    "process.learn={lr: 1.0e-3, updates: 2, warmup: 1, schedule: linear}",
)


def test_killed_between_the_two_updates_it_goes_on_to_the_bit(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The PRM of step 3 had learned, the policy had not: both go back to the checkpoint of step 2."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    learn = LearnerService.step

    async def copied(service: LearnerService, step: Step, batch: Batch) -> Update:
        if step.number == 3 and batch.process.groups:
            copy_once(whole, cut)
        return await learn(service, step, batch)

    monkeypatch.setattr(LearnerService, "step", copied)
    here("train", "prime", *SETTINGS, f"run.dir={whole}")
    assert "resuming after step 2" in here("resume", cut)

    expected, actual = rows(whole), rows(cut)
    assert [row["step"] for row in actual] == list(range(5))
    assert [deterministic(row) for row in actual] == [deterministic(row) for row in expected]
    for model in ("hf", "prm/hf"):
        weights = [(run / "checkpoints" / "step_4" / model / "model.safetensors").read_bytes() for run in (whole, cut)]
        assert weights[0] == weights[1], model
    manifest = verify(whole / "checkpoints" / "step_4")
    assert manifest.parts["process"].state == {"updates": expected[-1]["process/updates"], "ranks": 1}
    rolled, fates = tally(whole / "groups")
    assert rolled == sum(fates.values()) and fates[Fate.UNBALANCED] > 0
    assert all(row["process/loss"] > 0 for row in actual[1:]) and actual[-1]["groups/replay_uses"] > 0
    assert actual[1]["process/reward_spread"] < 1e-3 < actual[4]["process/reward_spread"], "it has learned"
    shown = [group for group in groups(whole, 4) if "process" in group["rollouts"][0]]
    assert shown and {group["fate"] for group in shown} == {"trained"}
    assert all("".join(piece for piece, _ in rollout["process"]) for group in shown for rollout in group["rollouts"])
