"""PRIME's advantages: outcome and process rewards, each against the rest of its group (arXiv 2502.01456)."""

from collections.abc import Sequence

import numpy as np

from effrl.advantage.process import TokenRows, leave_one_out, to_come, tokens_of, whitened
from effrl.advantage.rloo import leave_one_out_of
from effrl.config.advantage import PrimeAdvantage
from effrl.sequences import GroupRewards
from effrl.types import Float64


def prime_advantages(groups: Sequence[GroupRewards], config: PrimeAdvantage) -> TokenRows:
    """[T_i] advantages of each rollout of each group (section 3.2, "Advantage estimation with process rewards").

    For a rollout of T tokens::

        A_t = w_o gamma_o^(T - t) (o_i - mean_{j != i} o_j)
              + w_p sum_{s >= t} gamma^(s - t) (r_s - mean_{j != i} rbar_j)

    and then, as in the authors' code, mean 0 and variance 1 over all tokens of the step. Without process rewards and
    without whitening it is RLOO.
    """
    rows = [_group_advantages(group, config) for group in groups]
    return whitened(rows) if config.whiten else rows


def _group_advantages(group: GroupRewards, config: PrimeAdvantage) -> list[Float64]:
    outcomes = leave_one_out_of(group.outcome)
    process = leave_one_out(tokens_of(group), config.form)
    return [
        config.outcome * _discounted(outcome, len(row), config.gamma_outcome)
        + config.process * to_come(row, config.gamma)
        for outcome, row in zip(outcomes, process, strict=True)
    ]


def _discounted(outcome: float, length: int, gamma: float) -> Float64:
    """The outcome is known at the last token."""
    discounts: Float64 = outcome * gamma ** np.arange(length - 1, -1, -1, dtype=np.float64)
    return discounts
