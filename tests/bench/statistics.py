"""What a few seeds tell: means, paired differences and interquartile means, each with an interval where there is one.

The unit is the training run. Methods: t intervals; IQM, stratified bootstrap and probability of improvement as in
"Deep RL at the edge of the statistical precipice" (arXiv 2108.13264).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

LEVEL = 0.95
"""Confidence of every interval."""
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number from ``n`` observations, with its interval; no interval is ``None``, never one of width 0."""

    value: float
    n: int
    interval: tuple[float, float] | None = None

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval, in the unit of the value."""
        return None if self.interval is None else (self.interval[1] - self.interval[0]) / 2


def mean(values: Sequence[float]) -> Estimate:
    """Mean with its t interval.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values to take the mean of")
    centre, n = float(np.mean(values)), len(values)
    if n == 1:
        return Estimate(centre, n)
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * np.std(values, ddof=1)) / math.sqrt(n)
    return Estimate(centre, n, (centre - half, centre + half))


def paired_difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> Estimate | None:
    """Mean over the common seeds of ``values - baseline`` with its t interval; None where no seed is common."""
    differences = [values[seed] - baseline[seed] for seed in sorted(values.keys() & baseline.keys())]
    return mean(differences) if differences else None


def share_of_gain(
    values: Mapping[int, float], baseline: Mapping[int, float], ceiling: Mapping[int, float]
) -> Estimate | None:
    """How much of the mean gain from baseline to ceiling the values have, over the seeds that all three share.

    A ratio of two means from few seeds has no t interval; this one's is the bootstrap's, over seeds. None where no seed
    is common or nothing is gained, and without an interval where that happens in one of forty resamples.
    """
    seeds = sorted(values.keys() & baseline.keys() & ceiling.keys())
    own = np.array([values[seed] - baseline[seed] for seed in seeds])
    gains = np.array([ceiling[seed] - baseline[seed] for seed in seeds])
    if not seeds or gains.mean() <= 0:
        return None
    drawn = np.random.default_rng(0).integers(len(seeds), size=(RESAMPLES, len(seeds)))
    possible = gains[drawn].mean(1)
    estimate = float(own.mean() / gains.mean())
    if len(seeds) == 1 or np.mean(possible <= 0) > (1 - LEVEL) / 2:
        return Estimate(estimate, len(seeds))
    shares = (own[drawn].mean(1) / possible)[possible > 0]
    low, high = np.quantile(shares, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(estimate, len(seeds), (float(low), float(high)))


def iqm(strata: Sequence[Sequence[float]]) -> float:
    """Interquartile mean of all values of all strata: a quarter of them, rounded down, is cut off at each end."""
    return float(stats.trim_mean(np.concatenate([np.asarray(stratum, float) for stratum in strata]), 0.25))


def iqm_interval(strata: Sequence[Sequence[float]], seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """IQM with its percentile bootstrap interval; each stratum (family) is resampled within itself.

    A stratum of one run has no spread to resample, so there is no interval then.
    """
    n = sum(map(len, strata))
    if min(map(len, strata)) < 2:
        return Estimate(iqm(strata), n)
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(np.asarray(stratum, float), size=(resamples, len(stratum))) for stratum in strata]
    resampled = stats.trim_mean(np.concatenate(drawn, axis=1), 0.25, axis=1)
    low, high = np.quantile(resampled, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Estimate(iqm(strata), n, (float(low), float(high)))


def probability_of_improvement(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> float:
    """Chance that a run of the first sample beats one of the second, ties half; the mean over families.

    This is the Mann-Whitney statistic divided by the number of comparisons.
    """
    shares = [np.mean([(x > y) + 0.5 * (x == y) for x in values for y in others]) for values, others in pairs]
    return float(np.mean(shares))


def resolvable(n: int, power: float = 0.8) -> float | None:
    """Smallest paired effect that a two-sided t test of ``n`` differences at 5 % finds with ``power``.

    In standard deviations of the paired difference; None for fewer than two differences.
    """
    if n < 2:
        return None
    critical = stats.t.ppf((1 + LEVEL) / 2, n - 1)

    def shortfall(effect: float) -> float:
        # The other tail, where the test finds the opposite effect, is below 0.1 % at any power of interest.
        return float(stats.nct.sf(critical, n - 1, effect * math.sqrt(n))) - power

    return float(optimize.brentq(shortfall, 0.01, 20))
