"""Replay on real actors: fewer rollouts, groups of earlier steps, and a resume that equals a run that did not stop."""

from pathlib import Path
from typing import Any

import pytest
from runs import SMALL, Here, deterministic, groups, rows

from effrl.run.groups import tally

SETTINGS = (*SMALL, "replay={fresh: 0.5, capacity: 8, warmup: 1}", "learn.updates=2", "rollout.refill=0", "run.seed=2")
STEPS, CUT = 4, 2


@pytest.mark.slow  # a run with predicted difficulty and replay, and its resume, are in every check
def test_replay_and_resume(here: Here, tmp_path: Path) -> None:
    """The run that is cut ends after a step with a checkpoint, and is told to go on."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    here("train", "quickstart", *SETTINGS, f"run.steps={STEPS}", f"run.dir={whole}")
    here("train", "quickstart", *SETTINGS, f"run.steps={CUT}", f"run.dir={cut}")
    here("resume", cut, f"run.steps={STEPS}")

    expected, actual = rows(whole), rows(cut)
    assert [row["step"] for row in actual] == list(range(STEPS + 1))
    for one, other in zip(expected, actual, strict=True):
        assert without_evaluation(one) == without_evaluation(other)

    steps = actual[1:]
    assert [row["groups/rolled"] for row in steps] == [8, 4, 4, 4]
    assert steps[0]["groups/replay_uses"] == 0 < sum(row["groups/replay_uses"] for row in steps)
    for row, before in zip(steps[1:], steps, strict=False):
        assert row["groups/replay_uses"] == min(4, before["replay/stored"])
        assert row["sync/verified"] is not False and 0 < row["mismatch/ess"] <= 1
        assert row["policy/staleness_max"] == 0, "of fresh rollouts"
    assert any(row.get("replay/age_mean") for row in steps)
    assert max(row["mismatch/weight_max"] for row in steps if row["groups/replay_uses"]) > 1.001
    for step in range(1, STEPS + 1):
        assert [g["prompt_id"] for g in groups(whole, step)] == [g["prompt_id"] for g in groups(cut, step)]
    rolled, fates = tally(cut / "groups")
    assert rolled == sum(fates.values()) == 8 + 3 * 4, "a replayed group has no second fate"


def without_evaluation(row: dict[str, Any]) -> dict[str, Any]:
    """What must repeat; the run that was cut was evaluated once more, after its last step."""
    return {key: value for key, value in deterministic(row).items() if not key.startswith("eval/")}
