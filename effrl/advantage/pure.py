"""PURE's advantages: a solution is worth as much as its worst step (arXiv 2504.15275)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effrl.advantage.process import EPSILON, TokenRows, to_come, tokens_of, whitened
from effrl.advantage.rloo import leave_one_out_of
from effrl.config.advantage import PureAdvantage
from effrl.errors import RunError
from effrl.sequences import GroupRewards, TokenRewards
from effrl.types import Float64


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of one rollout."""

    rewards: Float64
    """[S] of each step."""
    of: NDArray[np.int64]
    """[T] the step that a token belongs to; S for tokens after the last one."""
    inside: NDArray[np.bool_]
    """[T] tokens that learn: all but those at which a step was found to end."""

    def weighed(self, temperature: float) -> Float64:
        """[S + 1] ``softmax(-r / temperature) r``, whose sum is nearly the smallest; and 0 for what follows."""
        if len(self.rewards) == 0:
            return np.zeros(1)
        powers = np.exp(-(self.rewards - self.rewards.min()) / temperature)
        return np.append(powers / powers.sum() * self.rewards, 0.0)

    @property
    def sizes(self) -> Float64:
        """[S + 1] tokens of each step that learn."""
        return np.bincount(self.of[self.inside], minlength=len(self.rewards) + 1).astype(np.float64)


def pure_advantages(groups: Sequence[GroupRewards], config: PureAdvantage) -> TokenRows:
    """[T_i] advantages of each rollout of each group (section 3).

    With ``r* = softmax(-r / T) r`` over the steps of a rollout and R their sum, every token of step k gets::

        sum_{l >= k} (r*_l - b m_l) + c (o_i - mean_{j != i} o_j)

    where m_l are the tokens of a step and b is ``sum_{j != i} R_j / sum_{j != i} L_j``; with ``baseline: step`` b is
    the others' mean of R over their number of steps, and m_l is 1. Then mean 0 and variance 1 over all tokens but those
    at which a step ends.

    Raises:
        RunError: ``steps: ends``, and the process rewards do not say where steps end.
    """
    steps = [[_steps(tokens, config) for tokens in tokens_of(group)] for group in groups]
    if config.steps == "block":
        steps = _scaled(steps)
    rows = [_group_advantages(group, found, config) for group, found in zip(groups, steps, strict=True)]
    return whitened(rows, [[one.inside for one in found] for found in steps], ddof=0) if config.whiten else rows


def _steps(tokens: TokenRewards, config: PureAdvantage) -> Steps:
    values = tokens.values.astype(np.float64)
    if config.steps == "block":
        of = np.arange(len(values)) // config.block
        return Steps(np.bincount(of, values).astype(np.float64), of, np.ones(len(values), bool))
    if tokens.ends is None:
        raise RunError(
            "advantage.steps=ends, and the process rewards do not say where steps end: set advantage.steps=block, or"
            " return `ends` (effrl.sequences.TokenRewards)"
        )
    return Steps(values[tokens.ends], np.cumsum(tokens.ends) - tokens.ends, ~tokens.ends)


def _scaled(groups: Sequence[Sequence[Steps]]) -> list[list[Steps]]:
    """Rewards within [-1, 1] over the step, so that a temperature means the same for any process reward."""
    largest = max((np.abs(one.rewards).max(initial=0.0) for found in groups for one in found), default=0.0)
    return [[Steps(one.rewards / (largest + EPSILON), one.of, one.inside) for one in found] for found in groups]


def _group_advantages(group: GroupRewards, steps: Sequence[Steps], config: PureAdvantage) -> list[Float64]:
    weighed = [one.weighed(config.temperature) for one in steps]
    values = np.array([found.sum() for found in weighed])
    outcomes = config.outcome * leave_one_out_of(group.outcome)
    return [
        np.where(one.inside, to_come(own - baseline)[one.of] + outcome, 0.0)
        for one, own, baseline, outcome in zip(
            steps, weighed, _baselines(values, group, steps, config), outcomes, strict=True
        )
    ]


def _baselines(values: Float64, group: GroupRewards, steps: Sequence[Steps], config: PureAdvantage) -> list[Float64]:
    """[S + 1] of each rollout: what is taken from each of its steps."""
    if config.baseline == "token":
        lengths = np.array(group.lengths, np.float64)
        rates = (values.sum() - values) / np.maximum(1.0, lengths.sum() - lengths)
        return [rate * one.sizes for rate, one in zip(rates, steps, strict=True)]
    per_step = values / np.maximum(1.0, [len(one.rewards) for one in steps])
    rates = (per_step.sum() - per_step) / (len(values) - 1)
    return [np.append(np.full(len(one.rewards), rate), 0.0) for rate, one in zip(rates, steps, strict=True)]
