"""Sampling near a target: the distribution, against draws one after the other, and no underflow."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from effrl.select.dots.gumbel import keys, sample_near

difficulties = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def softmax(difficulty: list[float], temperature: float) -> np.ndarray:
    logits = -np.abs(np.array(difficulty) - 0.5) / temperature
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def draws(difficulty: list[float], count: int, temperature: float, times: int) -> Counter[tuple[int, ...]]:
    random = np.random.default_rng(1)
    return Counter(tuple(sample_near(np.array(difficulty), count, 0.5, temperature, random)) for _ in range(times))


def test_the_papers_temperature_by_hand() -> None:
    """[0.5, 0.501, 0.6] at 1e-3: [0.731059, 0.268941, 0]."""
    expected = softmax([0.5, 0.501, 0.6], 1e-3)
    np.testing.assert_allclose(expected, [0.731059, 0.268941, 0], atol=5e-7)
    found = draws([0.5, 0.501, 0.6], 1, 1e-3, 4000)
    assert found[(2,)] == 0
    assert chisquare([found[(0,)], found[(1,)]], 4000 * expected[:2] / expected[:2].sum()).pvalue > 1e-4


def test_first_draws_follow_the_softmax() -> None:
    difficulty = [0.1, 0.3, 0.45, 0.5, 0.52, 0.9]
    found = draws(difficulty, 1, 0.2, 20_000)
    assert chisquare([found[(index,)] for index in range(6)], 20_000 * softmax(difficulty, 0.2)).pvalue > 1e-4


def test_ordered_draws_are_successive_sampling_without_replacement() -> None:
    difficulty = [0.2, 0.45, 0.5, 0.7]
    weights = softmax(difficulty, 0.2)
    orders = list(permutations(range(4), 3))
    expected = [
        weights[a] * weights[b] / (1 - weights[a]) * weights[c] / (1 - weights[a] - weights[b]) for a, b, c in orders
    ]
    found = draws(difficulty, 3, 0.2, 20_000)
    assert chisquare([found[order] for order in orders], 20_000 * np.array(expected)).pvalue > 1e-4


def test_a_high_temperature_is_uniform() -> None:
    found = draws([0.0, 0.5, 1.0, 0.2], 1, 1e9, 8000)
    assert chisquare([found[(index,)] for index in range(4)]).pvalue > 1e-4


@given(difficulties, st.data())
def test_draws_are_distinct_whatever_the_weights(difficulty: list[float], data: st.DataObject) -> None:
    """In float32 weights most of these are 0, and a draw of more than the others would fail."""
    count = data.draw(st.integers(0, len(difficulty)))
    chosen = sample_near(np.array(difficulty), count, 0.5, 1e-3, np.random.default_rng(1))
    assert len(chosen) == len(set(chosen)) == count


def test_all_of_a_pool_of_two_far_modes() -> None:
    chosen = sample_near(np.array([0.5] * 3 + [0.0, 1.0] * 10), 23, 0.5, 1e-3, np.random.default_rng(1))
    assert sorted(chosen[:3]) == [0, 1, 2], "weights of e^-500 are used when nothing else is left"
    assert sorted(chosen) == list(range(23))


@given(difficulties)
def test_difficulty_and_its_mirror_image_are_equally_near(difficulty: list[float]) -> None:
    found = np.array(difficulty)
    one, two = (keys(values, 0.5, 0.1, np.random.default_rng(1)) for values in (found, 1 - found))
    np.testing.assert_allclose(one, two, atol=1e-12)


def test_refuses_what_cannot_be_drawn() -> None:
    random = np.random.default_rng(1)
    with pytest.raises(ValueError, match="3 of 2"):
        sample_near(np.array([0.5, 0.5]), 3, 0.5, 1e-3, random)
    with pytest.raises(ValueError, match="not finite"):
        sample_near(np.array([0.5, np.nan]), 1, 0.5, 1e-3, random)
    with pytest.raises(ValueError, match="positive"):
        sample_near(np.array([0.5, 0.5]), 1, 0.5, 0.0, random)
