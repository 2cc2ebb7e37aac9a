"""The learning rate of a step, by hand and by its properties."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.config.learn import LearnConfig
from effrl.learn.schedule import learning_rate


def rates(steps: int, **settings: object) -> list[float]:
    config = LearnConfig.model_validate({"lr": 1.0, **settings})
    return [learning_rate(config, step, steps) for step in range(1, steps + 1)]


def test_by_hand() -> None:
    assert rates(3) == [1.0, 1.0, 1.0]
    assert rates(5, warmup=3) == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates(4, schedule="linear") == [1.0, 0.75, 0.5, 0.25]
    assert rates(6, warmup=1, schedule="linear") == pytest.approx([0.5, 1.0, 0.8, 0.6, 0.4, 0.2])
    assert rates(4, schedule="cosine") == pytest.approx([1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2])


def test_the_default_is_the_configured_rate_to_the_bit() -> None:
    """A run without a schedule must not change by its rounding."""
    assert {learning_rate(LearnConfig(lr=3e-5), step, 7) for step in range(1, 8)} == {3e-5}


@given(
    steps=st.integers(1, 50),
    warmup=st.integers(0, 49),
    schedule=st.sampled_from(["constant", "linear", "cosine"]),
)
def test_it_rises_to_the_peak_and_falls_but_never_to_zero(steps: int, warmup: int, schedule: str) -> None:
    warmup = min(warmup, steps - 1)
    found = rates(steps, warmup=warmup, schedule=schedule)
    assert max(found) == found[warmup] == 1.0
    assert found[: warmup + 1] == sorted(set(found[: warmup + 1]))
    assert found[warmup:] == sorted(found[warmup:], reverse=True)
    assert min(found) > 0
