"""Statistics against numbers worked out by hand, and against a second, naive way to compute them."""

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from tests.bench.statistics import (
    Estimate,
    iqm,
    iqm_interval,
    mean,
    paired_difference,
    probability_of_improvement,
    resolvable,
    share_of_gain,
)

scores = st.lists(st.integers(0, 20).map(lambda tick: tick / 20), min_size=1, max_size=12)
"""Few distinct values, as avg@k has: ties are common."""
families = st.lists(scores, min_size=1, max_size=4)


# --- t intervals


def test_mean_by_hand() -> None:
    """Standard deviation 1, n = 3: half the width is 4.302653 / sqrt(3)."""
    found = mean([1.0, 2.0, 3.0])
    assert found.value == 2.0 and found.n == 3
    assert found.half_width == pytest.approx(2.484138, abs=1e-6)
    assert found.interval == pytest.approx((2 - 2.484138, 2 + 2.484138), abs=1e-6)


def test_one_observation_has_no_interval() -> None:
    assert mean([0.4]) == Estimate(0.4, 1, None)
    assert mean([0.4]).half_width is None
    with pytest.raises(ValueError, match="no values"):
        mean([])


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = random.Random(0)
    found = [mean([rng.gauss(5, 2) for _ in range(3)]).interval for _ in range(2000)]
    assert sum(low <= 5 <= high for low, high in filter(None, found)) / 2000 == pytest.approx(0.95, abs=0.015)


def test_pairs_by_hand() -> None:
    """Differences 0.1, 0.2, 0.3 (seed 4 has no partner): 0.2 ± 4.302653 * 0.1 / sqrt(3)."""
    found = paired_difference({1: 0.5, 2: 0.7, 3: 0.9, 4: 0.0}, {3: 0.6, 2: 0.5, 1: 0.4, 5: 1.0})
    assert found is not None and found.n == 3
    assert found.value == pytest.approx(0.2)
    assert found.half_width == pytest.approx(0.2484138, abs=1e-6)


def test_pairs_that_differ_by_the_same_have_a_sharp_interval() -> None:
    """Runs that differ a lot from each other, and by the same from their partners."""
    found = paired_difference({1: 0.25, 2: 0.5, 3: 0.75}, {1: 0.125, 2: 0.375, 3: 0.625})
    assert found == Estimate(0.125, 3, (0.125, 0.125))


def test_no_pair_is_no_difference() -> None:
    assert paired_difference({1: 0.5}, {2: 0.5}) is None
    assert paired_difference({1: 0.5}, {1: 0.25}) == Estimate(0.25, 1, None)


# --- interquartile mean


@pytest.mark.parametrize(
    ("strata", "expected"),
    [
        ([[1.0, 2.0, 3.0, 100.0]], 2.5),
        ([[1.0, 2.0, 3.0]], 2.0),
        ([[8.0, 1.0], [2.0, 7.0], [3.0, 6.0], [4.0, 50.0]], (3 + 4 + 6 + 7) / 4),
    ],
)
def test_iqm_by_hand(strata: list[list[float]], expected: float) -> None:
    assert iqm(strata) == pytest.approx(expected)


def naive_iqm(strata: Sequence[Sequence[float]]) -> float:
    values = sorted(value for stratum in strata for value in stratum)
    cut = len(values) // 4
    kept = values[cut : len(values) - cut]
    return sum(kept) / len(kept)


@settings(deadline=None)
@given(families)
def test_iqm_against_a_sorted_list(strata: list[list[float]]) -> None:
    assert iqm(strata) == pytest.approx(naive_iqm(strata))


def test_the_bootstrap_against_a_naive_one() -> None:
    strata = [[0.31, 0.42, 0.55], [0.61, 0.64, 0.70, 0.52], [0.2, 0.9]]
    rng = random.Random(1)
    naive = sorted(naive_iqm([rng.choices(stratum, k=len(stratum)) for stratum in strata]) for _ in range(4000))
    found = iqm_interval(strata, resamples=4000)
    assert found.value == iqm(strata) and found.n == 9
    assert found.interval == pytest.approx((naive[100], naive[3899]), abs=0.015)


def test_strata_are_resampled_within_themselves() -> None:
    """Two families without any spread, far apart: whoever mixed them would find some."""
    assert iqm_interval([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]).interval == (0.5, 0.5)


def test_the_bootstrap_is_reproducible() -> None:
    strata = [[0.1, 0.4, 0.35], [0.5, 0.9]]
    assert iqm_interval(strata) == iqm_interval(strata)
    assert iqm_interval(strata) != iqm_interval(strata, seed=1)


def test_a_family_with_one_run_has_nothing_to_resample() -> None:
    assert iqm_interval([[0.1, 0.2], [0.5]]).interval is None


@settings(max_examples=30, deadline=None)
@given(families.filter(lambda strata: min(map(len, strata)) > 1))
def test_the_interval_lies_within_the_data(strata: list[list[float]]) -> None:
    found = iqm_interval(strata, resamples=50)
    values = [value for stratum in strata for value in stratum]
    assert found.interval is not None
    low, high = found.interval
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


# --- probability of improvement


def test_improvement_by_hand() -> None:
    """Of 2 x 2 comparisons: two won, one tied, one lost; and a family where all are won."""
    first = ([0.5, 0.3], [0.4, 0.3])
    assert probability_of_improvement([first]) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert probability_of_improvement([first, ([0.9], [0.1, 0.2])]) == pytest.approx((0.625 + 1) / 2)


@settings(deadline=None)
@given(scores, scores)
def test_improvement_against_mann_whitney(values: list[float], others: list[float]) -> None:
    expected = mannwhitneyu(values, others).statistic / (len(values) * len(others))
    found = probability_of_improvement([(values, others)])
    assert found == pytest.approx(expected)
    assert found + probability_of_improvement([(others, values)]) == pytest.approx(1)


# --- what few seeds can resolve


def test_few_seeds_resolve_little() -> None:
    """The figures of 5, 10 and 20 were found by simulation before this was written."""
    assert resolvable(1) is None
    assert [round(resolvable(n) or 0, 1) for n in (3, 5, 10, 20)] == [3.3, 1.7, 1.0, 0.7]


@pytest.mark.parametrize("n", [2, 3, 8])
def test_power_by_simulation(n: int) -> None:
    effect = resolvable(n)
    assert effect is not None
    drawn = np.random.default_rng(0).normal(effect, 1, (40_000, n))
    half = (mean([0.0] * (n - 1) + [1.0]).half_width or 0) / np.std([0.0] * (n - 1) + [1.0], ddof=1)
    found = np.abs(drawn.mean(axis=1)) > half * drawn.std(axis=1, ddof=1)
    assert found.mean() == pytest.approx(0.8, abs=0.01)
    assert math.isfinite(half)


def test_a_share_of_a_gain_by_hand() -> None:
    baseline, ceiling = {1: 0.4, 2: 0.5, 3: 0.6}, {1: 0.8, 2: 0.7, 3: 0.9}
    found = share_of_gain({1: 0.6, 2: 0.6, 3: 0.7, 4: 0.0}, baseline, ceiling)
    assert found is not None and found.n == 3, "the seeds that all have"
    assert found.value == pytest.approx((0.2 + 0.1 + 0.1) / (0.4 + 0.2 + 0.3))
    assert found.interval is not None and found.interval[0] <= found.value <= found.interval[1]
    assert share_of_gain(ceiling, baseline, baseline) is None, "nothing is gained"
    assert share_of_gain({4: 0.1}, baseline, ceiling) is None
    alone = share_of_gain({1: 0.6}, baseline, ceiling)
    assert alone is not None and alone.interval is None


def test_a_gain_that_may_be_none_has_no_interval() -> None:
    found = share_of_gain({1: 0.5, 2: 0.5}, {1: 0.4, 2: 0.6}, {1: 0.9, 2: 0.5})
    assert found is not None and found.interval is None
