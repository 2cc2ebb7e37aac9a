"""From a config's ``advantage`` section to the function it names."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from effrl import plugins
from effrl.advantage.grpo import grpo_advantages
from effrl.advantage.reinforce_pp import reinforce_pp_advantages
from effrl.advantage.rewards import token_rewards
from effrl.advantage.rloo import rloo_advantages
from effrl.batch import AdvantageFunction
from effrl.config.advantage import (
    AnyAdvantage,
    GaeAdvantage,
    GrpoAdvantage,
    PluginAdvantage,
    ReinforcePpAdvantage,
    RlooAdvantage,
)
from effrl.errors import RunError, one_line
from effrl.sequences import GroupRewards
from effrl.types import Float32


def advantages(config: AnyAdvantage) -> AdvantageFunction:
    """The advantage function of a run.

    Raises:
        UserError: a function of the user's own cannot be loaded.
    """
    match config:
        case GrpoAdvantage(std=std):
            return _of_outcomes(_group_by_group(partial(grpo_advantages, std=std)))
        case RlooAdvantage():
            return _of_outcomes(_group_by_group(rloo_advantages))
        case ReinforcePpAdvantage():
            return _of_outcomes(reinforce_pp_advantages)
        case GaeAdvantage():
            # The learner makes advantages of rewards: it alone has the values.
            return lambda groups: [token_rewards(group) for group in groups]
        case PluginAdvantage(kind=kind):
            return _checked(kind, plugins.load("advantage.kind", kind))


def _group_by_group(function: Callable[[Float32], Float32]) -> Callable[[Sequence[Float32]], Sequence[Float32]]:
    return lambda outcomes: [function(group) for group in outcomes]


def _of_outcomes(function: Callable[[Sequence[Float32]], Sequence[Float32]]) -> AdvantageFunction:
    """From an estimator on the outcomes [N] of each group: every rollout has one number for all of its tokens."""

    def estimate(groups: Sequence[GroupRewards]) -> list[list[Float32]]:
        return [np.split(found, len(found)) for found in function([group.outcome for group in groups])]

    return estimate


def _checked(kind: str, function: AdvantageFunction) -> AdvantageFunction:
    """A NaN would ruin the model for good, and a wrong length would reward the wrong token: both end the run."""

    def checked(groups: Sequence[GroupRewards]) -> list[list[Float32]]:
        try:
            found = [[np.atleast_1d(np.asarray(row, np.float32)) for row in rows] for rows in function(groups)]
        except Exception as error:  # the function is the user's: it can raise anything
            raise RunError(f"advantage.kind {kind!r} failed: {one_line(error)}") from error
        if [len(rows) for rows in found] != [len(group.lengths) for group in groups]:
            counts = [len(rows) for rows in found]
            raise RunError(
                f"advantage.kind {kind!r} returned {counts} advantages for groups of"
                f" {[len(group.lengths) for group in groups]} rollouts"
            )
        for rows, group in zip(found, groups, strict=True):
            _check_rows(kind, rows, group.lengths)
        return found

    return checked


def _check_rows(kind: str, rows: Sequence[Float32], lengths: Sequence[int]) -> None:
    for row, length in zip(rows, lengths, strict=True):
        if row.shape not in ((1,), (length,)):
            raise RunError(
                f"advantage.kind {kind!r} returned shape {row.shape} for a rollout of {length} tokens:"
                f" ({length},) or (1,) was expected"
            )
        if not np.isfinite(row).all():
            raise RunError(f"advantage.kind {kind!r} returned advantages that are not finite")
