"""Group-relative advantages against hand-computed numbers and a naive second implementation."""

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.advantage.grpo import grpo_advantages


def test_by_hand() -> None:
    rewards = np.array([1, 0, 0, 0], np.float32)  # mean 1/4, sample variance 1/4
    assert np.allclose(grpo_advantages(rewards, "sample"), [1.5, -0.5, -0.5, -0.5], atol=1e-5)
    assert np.allclose(grpo_advantages(rewards, "none"), [0.75, -0.25, -0.25, -0.25])


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=16))
def test_against_the_standard_library(rewards: list[float]) -> None:
    mean, deviation = statistics.fmean(rewards), statistics.stdev(rewards)
    expected = [(reward - mean) / (deviation + 1e-6) for reward in rewards]
    actual = grpo_advantages(np.array(rewards, np.float32), "sample")
    assert actual.dtype == np.float32
    assert np.allclose(actual, expected, atol=2e-3)
    assert abs(actual.sum()) < 1e-2


@pytest.mark.parametrize("std", ["sample", "none"])
def test_equal_rewards_give_no_advantage(std: str) -> None:
    assert (grpo_advantages(np.full(8, 0.3, np.float32), std) == 0).all()  # type: ignore[arg-type]
