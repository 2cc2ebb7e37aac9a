"""The calibrated predictor: from measured pass rates of some prompts to the expected ones of all.

Kernel ridge on embeddings; where something else is known of every prompt (UFO-RL's certainty, the DOTS network's
prediction), also on that alone and on both, whichever tells a measured prompt best from the others.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effrl.difficulty import ridge
from effrl.types import Float32, Float64

Rates = Callable[[Sequence[int] | NDArray[np.int64]], Float64]
"""From indices of prompts to their expected pass rates."""

_SAMPLE = 4096
"""Rows of a pool that its mean and spread are taken from."""
_TRIED = 256
"""Newest measurements by which features and width are chosen, since that takes five fits of each."""
_ENOUGH = 8
"""Measurements of a kind from which its noise is judged."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was measured of n prompts: ``Evidence(rows [n], passes [n], tries [n], age [n], trusted [n])``."""

    rows: NDArray[np.int64]
    """Indices in the pool; a prompt may have been measured several times."""
    passes: Float64
    tries: Float64
    age: Float64
    """In steps: the policy has moved since."""
    trusted: NDArray[np.bool_]
    """Whether a true label decided, and not a vote."""

    @property
    def rates(self) -> Float64:
        return np.asarray(self.passes / self.tries)

    def noise(self, half_life: float) -> Float64:
        """[n] variance: that of sampling, doubled with every ``half_life`` steps of age."""
        return np.asarray(ridge.sampling_noise(self.passes, self.tries) * 2 ** (self.age / half_life))


class CalibratedPredictor:
    """Fits :mod:`effrl.difficulty.ridge` to what a run has measured so far."""

    def __init__(self, embeddings: Float32, half_life: float = 8.0) -> None:
        """Look at the pool's spread.

        Args:
            embeddings: [N, D], a memory map or not; a fit reads the rows that it needs.
            half_life: steps after which a measurement counts half.
        """
        self._embeddings, self._half_life = embeddings, half_life
        step = max(1, len(embeddings) // _SAMPLE)
        self._standard = ridge.Standard.of(np.asarray(embeddings[::step], np.float64))

    def fit(self, seen: Evidence, hints: Mapping[str, Float64]) -> tuple[Rates, str]:
        """What predicts pass rates, and what it goes by: ``embeddings``, a hint's name, or both joined by ``+``.

        Args:
            seen: at least one measurement, the newest last.
            hints: by name, [N] of something that is known of every prompt; NaN where it is not.
        """
        features = {"embeddings": self._embedded, **{name: _hint(values) for name, values in hints.items()}}
        choices = [*((name,) for name in features), *(("embeddings", name) for name in hints)]
        measured = {choice: self._features(features, choice, seen.rows) for choice in choices}
        noise = _judged(measured["embeddings",], seen, self._half_life)
        tried = {
            choice: ridge.fit(known[-_TRIED:], seen.rates[-_TRIED:], noise[-_TRIED:])
            for choice, known in measured.items()
        }
        best = min(tried, key=lambda choice: tried[choice].error)
        fitted = ridge.fit(measured[best], seen.rates, noise, [tried[best].ridge.width]).ridge
        return lambda rows: fitted(self._features(features, best, rows)), "+".join(best)

    def _embedded(self, rows: Sequence[int] | NDArray[np.int64]) -> Float64:
        return self._standard(np.asarray(self._embeddings[rows], np.float64))

    @staticmethod
    def _features(
        known: Mapping[str, Rates], choice: Sequence[str], rows: Sequence[int] | NDArray[np.int64]
    ) -> Float64:
        return np.concatenate([known[name](rows) for name in choice], axis=1)  # squared distances add up


def _hint(values: Float64) -> Rates:
    """[n, 1] standardised over the pool; a prompt of which nothing is known lies in the middle."""
    filled = np.where(np.isnan(values), np.nanmean(values), values)[:, None]
    column = ridge.Standard.of(filled)(filled)
    return lambda rows: np.asarray(column[rows])


def _judged(features: Float64, seen: Evidence, half_life: float) -> Float64:
    """[n] noise. A vote adds to that of sampling what votes lie farther from a fit to true measurements than those do.

    A unanimous vote has little noise of its own, and where the policy errs in one way it is wrong.
    """
    noise, true = seen.noise(half_life), seen.trusted
    if min(true.sum(), (~true).sum()) < _ENOUGH:
        return noise
    fitted = ridge.fit(features[true], seen.rates[true], noise[true])
    off = fitted.ridge(features[~true]) - seen.rates[~true]
    extra = max(0.0, float((off**2).mean() - (fitted.residuals**2).mean()))
    return np.where(true, noise, noise + extra)
