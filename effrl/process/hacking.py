"""Process rewards that are being hacked: the policy earns ever more of them, and solves ever fewer problems.

The two means are of different rollouts: process rewards are those of groups that are learned from, outcomes those of
all. A run whose outcomes fall learns from harder groups, whose rewards should fall, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from effrl.run.metrics import MetricsRow
from effrl.types import Float64

REMEDY = (
    "Go back to the best checkpoint and weigh them less (advantage.process), let the PRM learn faster"
    " (process.learn.lr), or learn from groups alone that teach it something (rollout.filter); `effrl show --process`"
    " shows what it rewards"
)
REWARD, OUTCOME = "process/reward_mean", "reward/outcome_mean"
WINDOW = 10
"""Steps in each of two neighbouring windows whose means are compared."""
CLEAR = 2.0
"""By how many standard errors the two means must differ."""
HELD = 4
"""Steps in a row that must show it. A run is looked at after every step: at two standard errors, one look raises false
alarms in 5 of 100 runs of 100 steps, four in a row in 0.1, if nothing but noise moves the means. Neighbouring steps
whose noise correlates by 0.3, as they may under a selector that changes slowly, raise 2."""
REACH = 2 * WINDOW + HELD - 1
"""Steps that an alarm is about."""


@dataclass(frozen=True, slots=True)
class Hacking:
    """Where it was seen, and by which signs."""

    step: int
    reward: tuple[float, float]
    """Mean over solutions of their process rewards' sum, in the window before and in the latest."""
    outcome: tuple[float, float]
    """Mean outcome of a rollout, in the same windows."""

    def __str__(self) -> str:
        return (
            f"the policy looks like hacking its process rewards: they rose from {self.reward[0]:.3g} to"
            f" {self.reward[1]:.3g} per solution within {2 * WINDOW} steps while the mean outcome fell from"
            f" {self.outcome[0]:.2f} to {self.outcome[1]:.2f}"
        )


def hacking(rows: Sequence[MetricsRow]) -> Hacking | None:
    """The first step of a run that shows it; None where none does, or where there are no process rewards."""
    known = _known(rows)
    if len(known) < REACH:
        return None
    rewards, outcomes = (np.array([float(row[name]) for row in known]) for name in (REWARD, OUTCOME))
    shown = _rises(rewards) & _rises(-outcomes)
    held = sliding_window_view(shown, HELD).all(axis=1)
    if not held.any():
        return None
    end = int(held.argmax()) + REACH
    return Hacking(int(known[end - 1]["step"]), _means(rewards[:end]), _means(outcomes[:end]))


def hacked(rows: Sequence[MetricsRow]) -> Hacking | None:
    """Whether the last of these rows shows it; those before the newest ``REACH`` that are known do not matter."""
    if not rows or not _known(rows[-1:]):
        return None
    return hacking(_known(rows)[-REACH:])


def _known(rows: Sequence[MetricsRow]) -> list[MetricsRow]:
    """Steps without a group to learn from have no process rewards."""
    return [row for row in rows if row.get(REWARD) is not None and row.get(OUTCOME) is not None]


def _rises(values: Float64) -> NDArray[np.bool_]:
    """[T - 2 WINDOW + 1] whether the mean of the window that ends there is clearly above that of the one before.

    The standard error of the difference is that of Welch: ``sqrt((s_1^2 + s_2^2) / WINDOW)``, from the spread of the
    steps inside of each window.
    """
    pairs = sliding_window_view(values, 2 * WINDOW).reshape(-1, 2, WINDOW)
    before, after = pairs.mean(axis=2).T
    error = np.sqrt(pairs.var(axis=2, ddof=1).sum(axis=1) / WINDOW)
    rise = after - before
    return np.asarray((rise > 0) & (rise >= CLEAR * error))


def _means(values: Float64) -> tuple[float, float]:
    return float(values[-2 * WINDOW : -WINDOW].mean()), float(values[-WINDOW:].mean())
