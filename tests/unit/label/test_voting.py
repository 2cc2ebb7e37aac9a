"""What a few groups say of votes, and what is to be done about it."""

from math import sqrt

import pytest

from effrl.label.voting import Votes, advice


def votes(right: int, labelled: int) -> Votes:
    return Votes({"a": 0.5, "b": 1.0}, 0.7, right, labelled)


@pytest.mark.parametrize(("right", "labelled"), [(0, 32), (5, 32), (16, 32), (32, 32)])
def test_the_interval_s_ends_are_as_far_off_as_they_would_scatter(right: int, labelled: int) -> None:
    rate = right / labelled
    for end in votes(right, labelled).accuracy:
        assert abs(end - rate) == pytest.approx(1.96 * sqrt(end * (1 - end) / labelled), abs=1e-9)


@pytest.mark.parametrize(
    ("right", "labelled", "told"),
    [
        (28, 32, "Most votes are right"),
        (4, 32, "Most votes are wrong"),
        (17, 32, "--prompts 85"),
        (0, 0, "No label says"),
    ],
)
def test_advice(right: int, labelled: int, told: str) -> None:
    assert told in advice(votes(right, labelled))


def test_the_mean_share() -> None:
    assert votes(1, 2).share == 0.75
    assert votes(0, 0).accuracy == (0.0, 1.0)
