"""Process rewards as parts of an advantage: each token's reward against its group, and what is still to come.

A baseline of tokens is a mean over *tokens*, not over sequences: the only reading of PRIME (arXiv 2502.01456,
section 3.2) in which reward and baseline have one unit. A token that has no reward of its own, since its step ends
later, gets neither reward nor baseline.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from effrl.sequences import GroupRewards, TokenRewards
from effrl.types import Float64

EPSILON = 1e-6
TokenRows = list[list[Float64]]
"""[T_i] for each rollout of each group."""


def tokens_of(group: GroupRewards) -> Sequence[TokenRewards]:
    """The process rewards of a group; zeros where it has none."""
    return group.tokens or [TokenRewards(np.zeros(length, np.float32)) for length in group.lengths]


def leave_one_out(tokens: Sequence[TokenRewards], form: Literal["paper", "code"] = "paper") -> list[Float64]:
    """[T_i] rewards less the mean of the other rollouts' means.

    ``paper`` is ``r_it - sum_{j != i} rbar_j / (K - 1)``. ``code`` is what PRIME's release computes,
    ``(K r_it - sum_j rbar_j) / (K - 1)``: it stretches the contrasts within a rollout by K / (K - 1) besides.
    """
    means = np.array([row.mean for row in tokens], np.float64)
    others = len(means) - 1
    if form == "code":
        return [_less(row, means.sum() / others, (others + 1) / others) for row in tokens]
    return [_less(row, (means.sum() - mean) / others) for row, mean in zip(tokens, means, strict=True)]


def group_relative(tokens: Sequence[TokenRewards], std: Literal["sample", "none"]) -> list[Float64]:
    """[T_i] rewards less the mean of all rollouts' means, by the sample standard deviation of these means: GRPO with
    process rewards (PRIME, appendix on other algorithms)."""
    means = [row.mean for row in tokens]
    spread = float(np.std(means, ddof=1)) + EPSILON if std == "sample" else 1.0
    return [_less(row, float(np.mean(means))) / spread for row in tokens]


def batch_relative(groups: Sequence[Sequence[TokenRewards]]) -> TokenRows:
    """The same, but divided by one number for the step, as REINFORCE++ does with outcomes: the root mean square of how
    far rollouts' means are from their group's."""
    means = [np.array([row.mean for row in tokens], np.float64) for tokens in groups]
    scale = float(np.sqrt(np.mean(np.concatenate([found - found.mean() for found in means]) ** 2))) + EPSILON
    return [
        [_less(row, float(found.mean())) / scale for row in tokens] for tokens, found in zip(groups, means, strict=True)
    ]


def to_come(rewards: Float64, gamma: float = 1.0) -> Float64:
    """[T] ``y_t = sum_{s >= t} gamma^(s - t) r_s``, by doubling: in log2(T) passes instead of T steps."""
    sums, reach = rewards, 1
    while reach < len(rewards):
        sums = sums + gamma**reach * np.concatenate([sums[reach:], np.zeros(reach)])
        reach *= 2
    return sums


def whitened(rows: TokenRows, inside: Sequence[Sequence[NDArray[np.bool_]]] | None = None, ddof: int = 1) -> TokenRows:
    """The same with mean 0 and variance 1 over all tokens of the step: ``(A - mean) / sqrt(variance + 1e-8)``.

    Args:
        inside: the tokens that count, where not all do; the others become 0.
        ddof: 1 divides the squares by the number of tokens less one, 0 by their number.
    """
    masks = inside or [[np.ones(len(row), bool) for row in group] for group in rows]
    pairs = [(row, mask) for group in zip(rows, masks, strict=True) for row, mask in zip(*group, strict=True)]
    counted = np.concatenate([row[mask] for row, mask in pairs])
    mean = counted.mean() if len(counted) else 0.0
    scale = (np.sum((counted - mean) ** 2) / max(1, len(counted) - ddof) + 1e-8) ** -0.5
    return [
        [np.where(mask, (row - mean) * scale, 0.0) for row, mask in zip(*group, strict=True)]
        for group in zip(rows, masks, strict=True)
    ]


def _less(row: TokenRewards, baseline: float, stretch: float = 1.0) -> Float64:
    """``stretch`` times the rewards, less a baseline, where rewards stand; 0 elsewhere."""
    differences = stretch * row.values.astype(np.float64) - baseline
    return differences if row.ends is None else np.where(row.ends, differences, 0.0)
