"""From a config's ``advantage`` section to the function it names."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import starmap
from typing import TypeVar

import numpy as np

from effrl import plugins
from effrl.advantage.grpo import grpo_advantages
from effrl.advantage.prime import prime_advantages
from effrl.advantage.process import TokenRows, batch_relative, group_relative, leave_one_out, to_come, tokens_of
from effrl.advantage.pure import pure_advantages
from effrl.advantage.reinforce_pp import reinforce_pp_advantages
from effrl.advantage.rewards import token_rewards
from effrl.advantage.rloo import rloo_advantages
from effrl.batch import AdvantageFunction
from effrl.config.advantage import (
    AnyAdvantage,
    GaeAdvantage,
    GrpoAdvantage,
    PluginAdvantage,
    PrimeAdvantage,
    PureAdvantage,
    ReinforceAdvantage,
    ReinforcePpAdvantage,
    RlooAdvantage,
)
from effrl.errors import RunError, one_line
from effrl.sequences import GroupRewards, TokenRewards
from effrl.types import Float32, Float64

In = TypeVar("In")
Out = TypeVar("Out")


def advantages(config: AnyAdvantage) -> AdvantageFunction:
    """The advantage function of a run.

    Raises:
        UserError: a function of the user's own cannot be loaded.
    """
    match config:
        case GrpoAdvantage(std=std):
            return _summed(_each(partial(grpo_advantages, std=std)), _each(partial(group_relative, std=std)))
        case RlooAdvantage():
            return _summed(_each(rloo_advantages), _each(leave_one_out))
        case ReinforcePpAdvantage():
            return _summed(reinforce_pp_advantages, batch_relative)
        case ReinforceAdvantage():
            return _summed(list, _each(lambda tokens: [row.values.astype(np.float64) for row in tokens]))
        case PrimeAdvantage() as prime:
            return lambda groups: _as_float32(prime_advantages(groups, prime))
        case PureAdvantage() as pure:
            return lambda groups: _as_float32(pure_advantages(groups, pure))
        case GaeAdvantage():
            # The learner makes advantages of rewards: it alone has the values.
            return lambda groups: [token_rewards(group) for group in groups]
        case PluginAdvantage(kind=kind):
            return _checked(kind, plugins.load("advantage.kind", kind))


def _each(function: Callable[[In], Out]) -> Callable[[Sequence[In]], list[Out]]:
    return lambda groups: [function(group) for group in groups]


def _summed(
    of_outcomes: Callable[[Sequence[Float32]], Sequence[Float32]],
    of_tokens: Callable[[Sequence[Sequence[TokenRewards]]], TokenRows],
) -> AdvantageFunction:
    """The advantage of a rollout's outcome, and for each token what its estimator makes of the process rewards to come.

    Without process rewards a rollout has one number for all of its tokens.

    Args:
        of_outcomes: from the outcomes [N] of each group.
        of_tokens: from the process rewards of each group.
    """

    def estimate(groups: Sequence[GroupRewards]) -> list[list[Float32]]:
        outcomes = [np.split(found, len(found)) for found in of_outcomes([group.outcome for group in groups])]
        if all(group.tokens is None for group in groups):
            return outcomes
        process = of_tokens([tokens_of(group) for group in groups])
        groupwise = [zip(*pair, strict=True) for pair in zip(outcomes, process, strict=True)]
        return _as_float32([list(starmap(_with_outcome, rollouts)) for rollouts in groupwise])

    return estimate


def _with_outcome(outcome: Float32, process: Float64) -> Float64:
    return outcome + to_come(process)


def _as_float32(rows: TokenRows) -> list[list[Float32]]:
    return [[np.asarray(row, np.float32) for row in group] for group in rows]


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
