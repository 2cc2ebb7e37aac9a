"""Kernel ridge against a second, naive implementation; and what the calibrated predictor chooses to go by."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effrl.difficulty import ridge
from effrl.difficulty.calibrated import CalibratedPredictor, Evidence
from effrl.difficulty.metrics import pearson


def drawn(seed: int, count: int, dimension: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    features = random.standard_normal((count, dimension)) / np.sqrt(dimension)
    rates = 1 / (1 + np.exp(-3 * features[:, 0]))
    return features, random.binomial(8, rates) / 8, random.uniform(0.01, 0.1, count)


def naive(features, rates, noise, width, strength, at, mean=None):
    """One prediction by the textbook: solve a system whose every entry is written out."""
    relative = noise / noise.mean()
    if mean is None:
        mean = sum(r / n for r, n in zip(rates, relative, strict=True)) / sum(1 / n for n in relative)

    def similar(one, other):
        return np.exp(-np.sum((one - other) ** 2) / 2 / width**2)

    system = np.array([[similar(one, other) for other in features] for one in features])
    weights = np.linalg.solve(system + strength * np.diag(relative), rates - mean)
    return mean + float(np.dot([similar(at, centre) for centre in features], weights))


@given(seed=st.integers(0, 10_000), count=st.integers(2, 9))
@settings(max_examples=25, deadline=None)
def test_every_fit_is_that_of_a_naive_implementation(seed: int, count: int) -> None:
    features, rates, noise = drawn(seed, count)
    at = np.array([0.1, -0.2, 0.3])
    for width in (0.5, 2.0):
        fits = ridge._fits(features, rates - 0.3, noise / noise.mean(), 0.3, width)
        for found, strength in zip(fits, reversed(ridge.RIDGES), strict=True):
            predicted = 0.3 + (ridge.kernel(at[None], features, width) @ found.ridge.weights)[0]
            assert predicted == pytest.approx(naive(features, rates, noise, width, strength, at, 0.3), abs=1e-7)


def test_the_chosen_fit_predicts_as_the_naive_one_does() -> None:
    features, rates, noise = drawn(1, 20)
    found = ridge.fit(features, rates, noise)
    expected = [
        [naive(features, rates, noise, found.ridge.width, strength, row) for row in features]
        for strength in ridge.RIDGES
    ]
    predicted = found.ridge.mean + ridge.kernel(features, features, found.ridge.width) @ found.ridge.weights
    assert min(np.abs(np.array(line) - predicted).max() for line in expected) < 1e-9


def test_residuals_are_those_of_fits_without_each_measurement() -> None:
    features, rates, noise = drawn(2, 12)
    relative = noise / noise.mean()
    mean = np.average(rates, weights=1 / relative)
    for found, strength in zip(
        ridge._fits(features, rates - mean, relative, mean, 1.0), reversed(ridge.RIDGES), strict=True
    ):
        for left_out in range(12):
            kept = np.arange(12) != left_out
            system = ridge.kernel(features[kept], features[kept], 1.0) + strength * np.diag(relative[kept])
            weights = np.linalg.solve(system, rates[kept] - mean)
            told = mean + ridge.kernel(features[[left_out]], features[kept], 1.0)[0] @ weights
            assert found.residuals[left_out] == pytest.approx(rates[left_out] - told, abs=1e-9)


def test_the_best_of_all_fits_is_taken() -> None:
    features, rates, noise = drawn(3, 40)
    best = ridge.fit(features, rates, noise)
    assert best.error == min(ridge.fit(features, rates, noise, [width]).error for width in ridge.WIDTHS)
    assert best.error < float(np.average((rates - best.ridge.mean) ** 2, weights=1 / noise))


def test_a_measurement_with_more_noise_counts_less() -> None:
    features, rates = np.zeros((2, 1)), np.array([0.0, 1.0])
    found = ridge.fit(features, rates, np.array([0.01, 0.03]))
    assert found.ridge(np.zeros((1, 1)))[0] == pytest.approx(0.25, abs=0.02)


def test_predictions_are_rates() -> None:
    features, rates, noise = drawn(4, 30)
    found = ridge.fit(features, rates, noise).ridge(10 * features)
    assert ((found >= 0) & (found <= 1)).all()


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ValueError, match="needs measurements"):
        ridge.fit(np.zeros((0, 2)), np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match="positive noise"):
        ridge.fit(np.zeros((1, 2)), np.zeros(1), np.zeros(1))


def test_sampling_noise() -> None:
    assert ridge.sampling_noise(np.array([0.0, 4.0, 8.0]), np.array([8.0, 8.0, 8.0])) == pytest.approx(
        [0.09 / 8, 0.25 / 8, 0.09 / 8]
    )


def test_standardised_rows_are_about_as_far_apart_whatever_their_dimension() -> None:
    random = np.random.default_rng(1)
    for dimension in (2, 200):
        drawn_rows = random.normal(5, 3, (500, dimension))
        rows = ridge.Standard.of(drawn_rows)(drawn_rows)
        assert np.sum((rows[:250] - rows[250:]) ** 2, 1).mean() == pytest.approx(2, rel=0.15)
    constant = np.ones((4, 3))
    assert (ridge.Standard.of(constant)(constant) == 0).all()


def evidence(rates: np.ndarray, random: np.random.Generator, age: float = 0.0, trusted: bool = True) -> Evidence:
    count = len(rates)
    tries = np.full(count, 8.0)
    return Evidence(
        np.arange(count), random.binomial(8, rates).astype(float), tries, np.full(count, age), np.full(count, trusted)
    )


def pool(seed: int, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of which one direction in six decides the rate."""
    random = np.random.default_rng(seed)
    embeddings = random.standard_normal((count, 6))
    return embeddings.astype(np.float32), 1 / (1 + np.exp(-2 * embeddings[:, 0]))


def test_it_predicts_prompts_that_nobody_measured() -> None:
    embeddings, rates = pool(1)
    predicted, by = CalibratedPredictor(embeddings).fit(evidence(rates[:128], np.random.default_rng(1)), {})
    assert by == "embeddings"
    assert pearson(predicted(np.arange(128, 300)), rates[128:]) > 0.8


def test_a_hint_is_used_where_it_tells_and_left_alone_where_not() -> None:
    embeddings, rates = pool(2)
    random = np.random.default_rng(2)
    seen = evidence(rates[:128], random)
    noise_only = {"certainty": random.random(300)}
    telling = {"certainty": np.where(np.arange(300) % 50 == 7, np.nan, rates**2)}
    blank = random.standard_normal((300, 6)).astype(np.float32)
    assert CalibratedPredictor(embeddings).fit(seen, noise_only)[1] == "embeddings"
    predicted, by = CalibratedPredictor(blank).fit(seen, telling)
    assert "certainty" in by
    assert pearson(predicted(np.arange(128, 300)), rates[128:]) > 0.9


def test_old_measurements_count_less() -> None:
    tries = np.full(2, 8.0)
    seen = Evidence(np.array([0, 0]), np.array([8.0, 0.0]), tries, np.array([24.0, 0.0]), np.ones(2, bool))
    predicted, _ = CalibratedPredictor(np.zeros((3, 2), np.float32), half_life=8.0).fit(seen, {})
    assert predicted([0])[0] == pytest.approx(1 / 9, abs=0.02)


def test_votes_that_are_told_worse_count_less() -> None:
    embeddings, rates = pool(3)
    random = np.random.default_rng(3)
    true = evidence(rates[:100], random)
    votes = np.where(rates[:100] < 0.4, 1.0, rates[:100])  # wrong, and unanimous
    both = Evidence(
        np.concatenate([true.rows, true.rows]),
        np.concatenate([true.passes, 8 * votes]),
        np.full(200, 8.0),
        np.zeros(200),
        np.arange(200) < 100,
    )
    blind = Evidence(both.rows, both.passes, both.tries, both.age, np.ones(200, bool))
    errors = [
        np.abs(CalibratedPredictor(embeddings).fit(seen, {})[0](np.arange(100, 300)) - rates[100:]).mean()
        for seen in (both, blind)
    ]
    assert errors[0] < 0.9 * errors[1]
