"""Posterior sampling: updates by hand, and who is drawn."""

import numpy as np
import pytest

from effrl.select.thompson import ThompsonSelector
from tests.unit.select.pools import numbers, pool, seen


def test_posterior_by_hand() -> None:
    """Memory 0.5: Beta(1, 1), 6 of 8: (7, 3); then 2.5 of 4: 0.5 (7, 3) + 0.5 (1, 1) + (2.5, 1.5) = (6.5, 3.5)."""
    selector = ThompsonSelector(pool(2), 1, 0.5, 1.0, 0.5)
    selector.observe([seen(1, 6.0)])
    assert selector.known() == {"p/1": [7.0, 3.0]}
    selector.observe([seen(1, 2.5, 4)])
    assert selector.known() == {"p/1": [6.5, 3.5]}


def test_full_memory_counts_and_no_memory_forgets() -> None:
    for memory, expected in ((1.0, [9.0, 9.0]), (0.0, [1.0, 9.0])):
        selector = ThompsonSelector(pool(1), 1, 0.5, 1.0, memory)
        selector.observe([seen(0, 8.0), seen(0, 0.0)])
        assert selector.known() == {"p/0": expected}


def test_an_observation_that_equals_the_prior_is_forgotten_by_nobody() -> None:
    """What is left out of a state is exactly the prior."""
    selector = ThompsonSelector(pool(3), 1, 0.5, 2.0, 0.0)
    selector.observe([seen(0, 4.0)])
    again = ThompsonSelector(pool(3), 1, 0.5, 2.0, 0.0)
    again.observe([seen(2, 1.0)])
    again.recall(selector.known())
    assert again.known() == selector.known() == {"p/0": [6.0, 6.0]}


def test_draws_what_is_near_the_target_and_explores_what_is_unknown() -> None:
    """Of 60 prompts a third is solved, a third at one half, a third unknown."""
    selector = ThompsonSelector(pool(60), 1, 0.5, 1.0, 1.0)
    selector.observe([seen(number, 64.0 if number < 20 else 32.0, 64) for number in range(40)])
    drawn = np.array([number for _ in range(100) for number in numbers(selector.select(10))])
    solved, half, unknown = (np.mean(drawn // 20 == part) for part in range(3))
    assert solved == 0
    assert half > 2 * unknown > 0.1


@pytest.mark.parametrize("target", [0.2, 0.8])
def test_the_target_is_a_pass_rate(target: float) -> None:
    selector = ThompsonSelector(pool(2), 1, target, 1.0, 1.0)
    selector.observe([seen(0, 20.0, 100), seen(1, 80.0, 100)])
    drawn = [numbers(selector.select(1))[0] for _ in range(50)]
    assert drawn == [0 if target == 0.2 else 1] * 50


def test_first_draws_are_as_often_as_the_posterior_says() -> None:
    """Two prompts, Beta(3, 1) and Beta(1, 1), target 1: P(first drawn larger) = E[X] of Beta(3, 1) = 3/4."""
    selector = ThompsonSelector(pool(2), 1, 1.0, 1.0, 1.0)
    selector.observe([seen(0, 2.0, 2)])
    share = np.mean([numbers(selector.select(1))[0] == 0 for _ in range(4000)])
    assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4000)
