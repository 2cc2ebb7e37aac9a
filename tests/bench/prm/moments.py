"""How noisy an estimator of a gradient is, and how much of it is signal, from the gradients of independent groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from effrl.types import Float32, Float64

RESAMPLES = 1000
BATCH = 8
"""Groups of a batch, for which noise is told."""


@dataclass(frozen=True, slots=True)
class Products:
    """Inner products of the N groups' gradients, of one estimator with itself and with the one that is compared to."""

    own: Float64
    """[N, N]"""
    other: Float64
    """[N, N]; the other estimator's groups are the columns."""


Moments = dict[str, float]


def products(gradients: Mapping[str, Float32], baseline: str) -> dict[str, Products]:
    """Of [N, D] gradients by estimator."""
    base = gradients[baseline].astype(np.float64)
    exact = {arm: found.astype(np.float64) for arm, found in gradients.items()}
    return {arm: Products(found @ found.T, found @ base.T) for arm, found in exact.items()}


def moments(found: Mapping[str, Products], baseline: str, times: Float64) -> dict[str, Moments]:
    """What each estimator is worth, from groups that count ``times`` [N] each.

    ``trace`` is that of the covariance of one group's gradient, over the baseline's. ``signal`` is the squared norm of
    the mean gradient by the trace for a batch of 8 groups. ``cosine`` is that of the mean gradients of estimator and
    baseline. ``gain`` is the squared length of the mean along the baseline's mean, by the trace, over the same of the
    baseline: as many times fewer groups would do as well, as far as the baseline's direction is the right one.

    Products of means are taken from pairs of different groups alone. Otherwise they would hold the noise that they are
    compared with, and in a resample the pairs of a group that was drawn twice too.
    """
    base = found[baseline].own
    trace_base, signal_base = _spread(base, times), _pairs(base, times)
    told = {}
    for arm, inner in found.items():
        trace, signal, along = _spread(inner.own, times), _pairs(inner.own, times), _pairs(inner.other, times)
        told[arm] = {
            "trace": trace / trace_base,
            "signal": signal * BATCH / trace,
            "cosine": float(along / np.sqrt(signal * signal_base)) if min(signal, signal_base) > 0 else float("nan"),
            "gain": along**2 / signal_base**2 * trace_base / trace,
        }
    return told


def with_intervals(found: Mapping[str, Products], baseline: str, sizes: Sequence[int]) -> dict[str, dict[str, list]]:
    """``[value, low, high]`` of each moment: 95 % of the bootstrap, which draws groups within each of the strata."""
    draw, total = np.random.default_rng(0), sum(sizes)
    value = moments(found, baseline, np.ones(total))
    drawn = []
    for _ in range(RESAMPLES):
        times = np.concatenate([draw.multinomial(size, np.full(size, 1 / size)) for size in sizes])
        drawn.append(moments(found, baseline, times.astype(np.float64)))
    return {
        arm: {name: [value[arm][name], *_interval([one[arm][name] for one in drawn])] for name in value[arm]}
        for arm in found
    }


def _interval(values: Sequence[float]) -> list[float]:
    """A mean that may be 0 has no cosine: then it counts as -1 below and as 1 above."""
    worst = [(np.nan_to_num(values, nan=bound), level) for bound, level in ((-1.0, 0.025), (1.0, 0.975))]
    return [float(np.quantile(found, level)) for found, level in worst]


def _pairs(inner: Float64, times: Float64) -> float:
    """The product of two means."""
    diagonal = np.diag(inner)
    return float((times @ inner @ times - times**2 @ diagonal) / (times.sum() ** 2 - (times**2).sum()))


def _spread(inner: Float64, times: Float64) -> float:
    """Trace of the covariance."""
    return float(times @ np.diag(inner) / times.sum()) - _pairs(inner, times)
