"""Kernel ridge regression whose width and ridge are chosen by leave-one-out error, each measurement with its own noise.

The model: a measured rate is ``mean + f(x) + e``, f a sum of radial kernels about what was measured, e of known
variance. In the limit it is the posterior mean of a Gaussian process (Rasmussen and Williams 2006, equation 2.23 and,
for the error without each measurement itself, 5.10 to 5.12).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from effrl.types import Float64

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Of the kernel ``exp(-d² / 2 width²)``, in units in which two random prompts are about ``sqrt(2)`` apart."""
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Noise of an average measurement over the spread of f: from nearly interpolating to nearly constant."""


@dataclass(frozen=True, slots=True)
class KernelRidge:
    """A fit: ``KernelRidge(centers [n, D], weights [n], 0.4, 1.0)``."""

    centers: Float64
    weights: Float64
    mean: float
    width: float

    def __call__(self, features: Float64) -> Float64:
        """[N] rates in [0, 1] of features [N, D]."""
        found = self.mean + kernel(features, self.centers, self.width) @ self.weights
        return np.asarray(np.clip(found, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fit, and how it would have told each of its measurements without that one."""

    ridge: KernelRidge
    residuals: Float64
    """[n] measured rate less what is predicted without it."""
    error: float
    """Mean of their squares, each weighted by the inverse of its noise."""


def fit(features: Float64, rates: Float64, noise: Float64, widths: Sequence[float] = WIDTHS) -> Fitted:
    """The best of some widths and all ridges by leave-one-out error; of equals the widest and smoothest.

    Costs one eigendecomposition of [n, n] per width.

    Args:
        features: [n, D] of the measured prompts.
        rates: [n] in [0, 1].
        noise: [n] variances of the rates, positive; only their proportions matter.
        widths: to choose from.

    Raises:
        ValueError: nothing was measured, or a noise is not positive.
    """
    if len(rates) == 0 or not (noise > 0).all():
        raise ValueError("a fit needs measurements, and each of them a positive noise")
    relative = noise / noise.mean()
    mean = float(np.average(rates, weights=1 / relative))
    tried = (found for width in reversed(widths) for found in _fits(features, rates - mean, relative, mean, width))
    return min(tried, key=lambda found: found.error)


def kernel(one: Float64, other: Float64, width: float) -> Float64:
    """[N, M] of ``exp(-d² / 2 width²)`` between features [N, D] and [M, D]."""
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return np.asarray(np.exp(-np.maximum(squares, 0.0) / (2 * width**2)))


def _fits(features: Float64, centred: Float64, noise: Float64, mean: float, width: float) -> Iterator[Fitted]:
    """One fit per ridge. ``(K + ridge D)⁻¹`` for all of them from the eigenvectors of ``D^-½ K D^-½``."""
    root = np.sqrt(noise)
    values, vectors = np.linalg.eigh(kernel(features, features, width) / np.outer(root, root))
    projected = vectors.T @ (centred / root)
    for ridge in reversed(RIDGES):
        shrunk = 1 / (np.maximum(values, 0.0) + ridge)
        weights = vectors @ (shrunk * projected) / root
        residuals = weights / ((vectors**2 @ shrunk) / noise)
        error = float(np.average(residuals**2, weights=1 / noise))
        yield Fitted(KernelRidge(features, weights, mean, width), residuals, error)


def sampling_noise(passes: Float64, tries: Float64) -> Float64:
    """Variance of ``passes / tries`` as an estimate of the pass rate, from its Beta(1, 1) posterior mean: never 0."""
    rate = (passes + 1) / (tries + 2)
    return np.asarray(rate * (1 - rate) / tries)


@dataclass(frozen=True, slots=True)
class Standard:
    """Where the middle of a pool's columns lies, and how far they spread: ``Standard.of(rows)(rows)``."""

    middle: Float64
    spread: Float64

    @classmethod
    def of(cls, rows: Float64) -> "Standard":
        """Of rows [N, D]."""
        return cls(rows.mean(0), rows.std(0))

    def __call__(self, rows: Float64) -> Float64:
        """Columns with mean 0 and variance 1 over the pool, scaled by ``1 / sqrt(D)``.

        Two random rows are then about ``sqrt(2)`` apart, whatever D is. A constant column says nothing: 0.
        """
        scaled = np.divide(rows - self.middle, self.spread, out=np.zeros_like(rows), where=self.spread > 1e-12)
        return np.asarray(scaled / np.sqrt(rows.shape[1]))
