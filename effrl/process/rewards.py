"""What the log-ratios of an implicit PRM are worth as rewards of tokens."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from effrl.sequences import TokenRewards
from effrl.types import Float32, Float64

EPSILON = 1e-6


def token_rewards_of(logratios: Float32, beta: float, granularity: Literal["token", "whole"]) -> TokenRewards:
    """Rewards [T] of one rollout: ``beta`` times its log-ratios, or at the last token alone their sum.

    The tokens' rewards add up to that of the rollout, ``beta sum_t log-ratio`` (arXiv 2412.01981, proposition 3.1).
    """
    values = beta * logratios.astype(np.float32)
    if granularity == "token":
        return TokenRewards(values)
    ends = np.zeros(len(values), bool)
    ends[-1:] = True
    whole = np.where(ends, values.sum(dtype=np.float64), 0.0)
    return TokenRewards(whole.astype(np.float32), ends)


def largest_to_come(groups: Mapping[str, Sequence[TokenRewards]]) -> float:
    """The largest sum, without its sign, of the rewards from some token of a rollout on; 0 without any token."""
    sums = (np.abs(_to_come(row.values)).max(initial=0.0) for rows in groups.values() for row in rows)
    return float(max(sums, default=0.0))


def normalised(
    groups: Mapping[str, Sequence[TokenRewards]], floor: float
) -> tuple[dict[str, list[TokenRewards]], float]:
    """The rewards of a step by one divisor for all of it, which is returned too: what is to come lies within -1 and 1.

    Fresh and replayed groups of all ranks have one scale: with one for each rank, as in public code, a group that two
    ranks share has two.

    Args:
        floor: of the divisor, in units of rewards: what is only rounding stays small.
    """
    divisor = max(largest_to_come(groups), floor) + EPSILON
    scaled = {
        name: [TokenRewards((row.values / divisor).astype(np.float32), row.ends) for row in rows]
        for name, rows in groups.items()
    }
    return scaled, divisor


def _to_come(values: Float32) -> Float64:
    sums: Float64 = np.cumsum(values[::-1], dtype=np.float64)[::-1]
    return sums
