"""How good the rewards of an implicit PRM are: of rollouts that it has not learned from yet."""

from collections.abc import Sequence

import numpy as np

from effrl.types import Float32, Float64

BINS = 10
"""Of the calibration error."""
ALIKE = 0.1
"""Rollouts whose lengths differ by no more than this share of the longer one are alike in length."""


def pairwise_accuracy(
    outcomes: Sequence[Float32], rewards: Sequence[Float64], lengths: Sequence[Sequence[int]] | None = None
) -> float:
    """The share of pairs of a group that the rewards order as the outcomes do, a mean over groups.

    A pair counts by how far its outcomes are apart; a tie of rewards is half right. A group without such a pair is 0.5
    (PRIME's metric). With ``lengths`` only pairs of about equal lengths count, and groups without one are left out, so
    that a PRM which has learned length alone is at 0.5; not a number where no group has one.

    Args:
        outcomes: [K] of each group.
        rewards: [K] of each group's rollouts as a whole.
        lengths: K sampled tokens of each group.
    """
    if lengths is None:
        return float(np.mean([_ordered(*pair, None, 0.5) for pair in zip(outcomes, rewards, strict=True)]))
    triples = zip(outcomes, rewards, (np.array(row) for row in lengths), strict=True)
    found = np.array([_ordered(*triple, float("nan")) for triple in triples])
    known = found[~np.isnan(found)]
    return float(known.mean()) if len(known) else float("nan")


def _ordered(outcomes: Float32, rewards: Float64, lengths: np.ndarray | None, without: float) -> float:
    apart = np.triu(np.abs(outcomes[:, None] - outcomes[None]), 1).astype(np.float64)
    if lengths is not None:
        longer = np.maximum(lengths[:, None], lengths[None])
        apart = apart * (np.abs(lengths[:, None] - lengths[None]) <= ALIKE * longer)
    agree = np.sign(outcomes[:, None] - outcomes[None]) * np.sign(rewards[:, None] - rewards[None])
    return float((apart * (1 + agree) / 2).sum() / apart.sum()) if apart.sum() > 0 else without


def absolute_accuracy(outcomes: Float64, rewards: Float64) -> float:
    """The share of rollouts whose reward has the sign of ``2 outcome - 1``."""
    return float(np.mean((rewards > 0) == (outcomes > 0.5)))


def calibration_error(outcomes: Float64, rewards: Float64) -> float:
    """How far ``sigmoid(reward)`` is from the mean outcome, weighted over ten bins of it (ECE, arXiv 1706.04599)."""
    said = 1 / (1 + np.exp(-rewards))
    of = np.minimum((said * BINS).astype(int), BINS - 1)
    gaps = [abs(float(np.sum(said[of == n] - outcomes[of == n]))) for n in range(BINS)]
    return float(sum(gaps) / len(said))


def correlation(one: Float64, other: Float64) -> float:
    """Pearson's; 0 where one of them is constant."""
    first, second = one - one.mean(), other - other.mean()
    norm = float(np.sqrt((first @ first) * (second @ second)))
    return float(first @ second) / norm if norm > 0 else 0.0


def quality(
    outcomes: Sequence[Float32], rewards: Sequence[Float64], lengths: Sequence[Sequence[int]]
) -> dict[str, float]:
    """The metrics of a step, of [K] outcomes, rewards and lengths of each of its groups; none where there is none."""
    if not outcomes:
        return {}
    right, said = (np.concatenate(parts).astype(np.float64) for parts in (outcomes, rewards))
    tokens = np.concatenate([np.array(row, np.float64) for row in lengths])
    return {
        "process/accuracy": pairwise_accuracy(outcomes, rewards),
        "process/accuracy_matched": pairwise_accuracy(outcomes, rewards, lengths),
        "process/accuracy_absolute": absolute_accuracy(right, said),
        "process/calibration_error": calibration_error(right, said),
        "process/length_correlation": correlation(said, tokens),
        "process/reward_mean": float(said.mean()),
        "process/reward_spread": float(said.std()),
    }
