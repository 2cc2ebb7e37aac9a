"""Prediction metrics against scipy, the spec's noise ceilings, and simulation."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr

from effrl.difficulty.metrics import (
    evaluate,
    nearest,
    noise_ceiling,
    noise_ceiling_of_labels,
    pearson,
    ranks,
    spearman,
)

pairs = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=2, max_size=40)


@given(pairs)
def test_correlations_are_scipys(values: list[tuple[int, int]]) -> None:
    one, two = np.array(values, np.float64).T / 8
    assume(np.ptp(one) > 0 and np.ptp(two) > 0)
    assert pearson(one, two) == pytest.approx(pearsonr(one, two).statistic, abs=1e-9)
    assert spearman(one, two) == pytest.approx(spearmanr(one, two).statistic, abs=1e-9)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_ranks_are_scipys(values: list[int]) -> None:
    assert ranks(np.array(values, np.float64)).tolist() == (rankdata(values) - 1).tolist()


def test_undefined_correlations_are_0() -> None:
    constant, rising = np.full(4, 0.3), np.arange(4.0)
    for one, two in ((constant, rising), (rising, constant), (np.ones(1), np.ones(1)), (np.ones(0), np.ones(0))):
        assert pearson(one, two) == spearman(one, two) == 0.0


def test_correlation_of_tiny_differences() -> None:
    """Squares of 1e-200 underflow to 0."""
    assert pearson(np.array([0.0, 1e-200, 2e-200]), np.array([1.0, 2.0, 3.0])) == pytest.approx(1)


def test_evaluation_by_hand() -> None:
    """Eight predictions, four nearest 0.5 at 0.5, 0.45, 0.6 and 0.35; the truths there are 0.5, 1, 0.875 and 0.125."""
    predicted = np.array([0.5, 0.45, 0.6, 0.35, 0.9, 0.1, 0.0, 1.0])
    true = np.array([0.5, 1.0, 0.875, 0.125, 1.0, 0.0, 0.25, 1.0])
    assert nearest(predicted, 4).tolist() == [0, 1, 2, 3]
    found = evaluate(predicted, true)
    assert found["precision"] == 0.75
    assert found["precision_best"] == 1.0
    assert found["precision_random"] == 0.5
    assert found["mae_near_half"] == pytest.approx((0 + 0.55 + 0.275 + 0.225) / 4)
    assert found["mae"] == pytest.approx((0 + 0.55 + 0.275 + 0.225 + 0.1 + 0.1 + 0.25 + 0) / 8)
    assert found["mse_constant"] == pytest.approx(np.var(true))


def test_borders_of_the_band_count_in_single_precision_too() -> None:
    rates = np.array([0.125, 0.875, 1 - 0.125, 0.0, 1.0]).astype(np.float32).astype(np.float64)
    assert evaluate(rates, rates)["precision_random"] == pytest.approx(3 / 5)


def test_evaluation_refuses_nonsense() -> None:
    for predicted, true in ((np.ones(1), np.ones(1)), (np.ones(3), np.ones(2))):
        with pytest.raises(ValueError, match="at least two"):
            evaluate(predicted, true)
    with pytest.raises(ValueError, match="not finite"):
        evaluate(np.array([0.1, np.nan]), np.ones(2))


@pytest.mark.parametrize(
    ("alpha", "beta", "tries", "expected"),
    [(1, 1, 8, 0.894), (1, 1, 128, 0.992), (0.5, 0.5, 8, 0.943), (0.3, 0.6, 8, 0.948), (0.3, 0.3, 8, 0.964)],
)
def test_noise_ceilings(alpha: float, beta: float, tries: int, expected: float) -> None:
    """The formula, what the truth reaches on measured rates, and the estimate from two of those alone."""
    random = np.random.default_rng(1)
    rates = random.beta(alpha, beta, 200_000)
    measured = random.binomial(tries, rates) / tries
    assert noise_ceiling(rates, tries) == pytest.approx(expected, abs=2e-3)
    assert pearson(rates, measured) == pytest.approx(expected, abs=3e-3)
    assert noise_ceiling_of_labels(measured, tries) == pytest.approx(expected, abs=5e-3)


def test_noise_ceilings_of_what_does_not_vary() -> None:
    assert noise_ceiling(np.full(5, 0.5), 8) == 0.0
    assert noise_ceiling_of_labels(np.full(5, 0.5), 8) == 0.0
    alike = np.random.default_rng(1).binomial(8, 0.5, 1000) / 8
    assert noise_ceiling_of_labels(alike, 8) < 0.3, "all that varies is chance"
