"""How good predictions of pass rates are, and how good they could be. All arrays are [N], of float64."""

from collections.abc import Mapping
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from effrl.types import Float64

EFFECTIVE = (0.125, 0.875)
"""Pass rates at which a group of 8 has signal, borders included (DOTS)."""


def pearson(one: Float64, two: Float64) -> float:
    """Correlation of values; 0 where it is undefined, since one side is constant or there are fewer than two."""
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(two) == 0:
        return 0.0
    left, right = _standard(one), _standard(two)
    return float(np.clip(left @ right, -1, 1))


def _standard(values: Float64) -> Float64:
    """Centred, with norm 1. Scaled first: the squares of tiny deviations would underflow to 0."""
    centred = values - values.mean()
    centred /= np.abs(centred).max()
    return np.asarray(centred / np.linalg.norm(centred))


def spearman(one: Float64, two: Float64) -> float:
    """Correlation of ranks, equals sharing their mean rank; 0 where it is undefined."""
    return pearson(ranks(one), ranks(two))


def ranks(values: Float64) -> Float64:
    """[N] ranks from 0 on; equals get the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts + 1) / 2)[inverse])


def mae(predicted: Float64, true: Float64) -> float:
    """Mean absolute error."""
    return float(np.abs(predicted - true).mean())


def mse(predicted: Float64, true: Float64) -> float:
    """Mean squared error."""
    return float(np.square(predicted - true).mean())


def effective(true: Float64) -> NDArray[np.bool_]:
    """[N] whether a pass rate lies in :data:`EFFECTIVE`, room for float32's rounding given."""
    low, high = EFFECTIVE
    return (true >= low - 1e-6) & (true <= high + 1e-6)


def nearest(predicted: Float64, count: int, target: float = 0.5) -> NDArray[np.int64]:
    """Indices of the ``count`` predictions nearest to a target; of equals, the first."""
    return np.argsort(np.abs(predicted - target), kind="stable")[:count]


def noise_ceiling(rates: Float64, tries: int) -> float:
    """Pearson's correlation of true pass rates with rates measured in ``tries`` rollouts: no predictor can beat it.

    ``sqrt(Var p / (Var p + E[p (1 - p)] / tries))``; 0 where all rates are equal.
    """
    variance = float(rates.var())
    noise = float((rates * (1 - rates)).mean()) / tries
    return sqrt(variance / (variance + noise)) if variance > 0 else 0.0


def noise_ceiling_of_labels(measured: Float64, tries: int) -> float:
    """The same where the true rates are unknown, from rates measured in ``tries`` >= 2 rollouts.

    ``m (1 - m) tries / (tries - 1)`` estimates p (1 - p) without bias, and the variance of m exceeds that of p by a
    ``tries``-th of it. 0 where the measured rates vary no more than chance explains.
    """
    spread = float((measured * (1 - measured)).mean()) * tries / (tries - 1)
    total = float(measured.var())
    return sqrt(max(0.0, total - spread / tries) / total) if total > 0 else 0.0


def evaluate(predicted: Float64, true: Float64) -> Mapping[str, float]:
    """What DOTS reports of a predictor (arXiv 2506.05316), with what a constant and a random pick would reach.

    ``precision``: of the ``min(1024, N // 2)`` predictions nearest 0.5, the share whose true rate lies in
    :data:`EFFECTIVE`; ``precision_best`` is the largest that any choice has, ``precision_random`` a random one's mean.
    ``mae_near_half`` is the mean absolute error of the same predictions.

    Raises:
        ValueError: fewer than two values, or predictions that are not finite.
    """
    if len(true) < 2 or len(predicted) != len(true):
        raise ValueError(f"{len(predicted)} predictions for {len(true)} pass rates: at least two of each, as many")
    if not np.isfinite(predicted).all():
        raise ValueError("predictions that are not finite")
    chosen = nearest(predicted, min(1024, len(true) // 2))
    inside = effective(true)
    return {
        "pearson": pearson(predicted, true),
        "spearman": spearman(predicted, true),
        "mae": mae(predicted, true),
        "mse": mse(predicted, true),
        "mse_constant": float(true.var()),
        "mae_near_half": mae(predicted[chosen], true[chosen]),
        "precision": float(inside[chosen].mean()),
        "precision_best": min(1.0, float(inside.sum()) / len(chosen)),
        "precision_random": float(inside.mean()),
    }
