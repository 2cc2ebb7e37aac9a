"""An engine is killed while it samples, while answers are scored, while the learner works, and twice while a version is
published. Each time another takes its place, and the run equals one in which nobody died, number for number."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import SMALL, Here, assert_same, rows

from actors.driver.sampler import Sampler
from actors.driver.weights import WeightSync
from actors.learner.service import LearnerService
from actors.reward.service import RewardService
from effrl.run.groups import tally
from tests.bench.engines import SharedEngines

SETTINGS = (*SMALL, "run.steps=6", "run.save_every=6")


def test_healing_is_bit_for_bit(
    here: Here, engines: SharedEngines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "healed"
    here("train", "quickstart", *SETTINGS, f"run.dir={whole}")

    def kill() -> None:
        assert engines._left is not None
        os.kill(engines._left.pids["rollout-0"], signal.SIGKILL)

    dying(monkeypatch, Sampler, "_perform", kill, 3)
    dying(monkeypatch, RewardService, "outcome", kill, 6)
    dying(monkeypatch, LearnerService, "step", kill, 4)
    dying(monkeypatch, WeightSync, "publish", kill, 5)
    dying(monkeypatch, WeightSync, "served", kill, 8)
    printed = here("train", "quickstart", *SETTINGS, f"run.dir={run}")

    assert printed.count("it is replaced, and its work goes to another") == 5, printed
    assert printed.count("rollout-0 is back") == 5, printed
    expected, actual = rows(whole), rows(run)
    assert sum(row.pop("rollout/workers_lost", 0) for row in actual) == 5
    assert sum(row.pop("rollout/workers_lost", 0) for row in expected) == 0
    assert sum(row.pop("advice/lost_workers", 0) for row in actual) > 0, "five within ten steps are told of"
    assert_same(expected, actual, whole, run)
    rolled, fates = tally(run / "groups")
    assert rolled == sum(fates.values())


def dying(patch: pytest.MonkeyPatch, owner: type, method: str, kill: Callable[[], None], call: int) -> None:
    """Kill right before a method is called for the n-th time."""
    original, calls = getattr(owner, method), 0

    def counted(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            kill()
        return original(*arguments, **named)

    patch.setattr(owner, method, counted)
