"""The corrective advantage gap: the closed form against its definition, and the spec's properties."""

from collections.abc import Iterator
from itertools import pairwise
from math import isclose, sqrt

import numpy as np
import pytest

from effrl.label.cag import advantage_gap, corrective_advantage_gap

Rewards = list[int]


def by_definition(true: Rewards, vote: Rewards, ddof: int = 0) -> float:
    """The distance of the advantages of a group, written out; ``ddof`` 1 takes the sample standard deviation."""
    return float(np.linalg.norm(_advantages(true, ddof) - _advantages(vote, ddof)))


def _advantages(rewards: Rewards, ddof: int) -> np.ndarray:
    found = np.array(rewards, float)
    return np.zeros_like(found) if found.std() < 1e-8 else (found - found.mean()) / found.std(ddof=ddof)


def vectors(n: int, votes: int, right: int) -> tuple[Rewards, Rewards]:
    """True rewards and the vote's of a group whose vote is wrong: the first rollouts vote, the last are right."""
    return [0] * (n - right) + [1] * right, [1] * votes + [0] * (n - votes)


def wrong_votes(sizes: range) -> Iterator[tuple[int, int, int]]:
    """Every group with a vote, by size, votes and right rollouts; these may be more than the votes."""
    return ((n, votes, right) for n in sizes for votes in range(1, n + 1) for right in range(n - votes + 1))


def test_the_closed_form_is_the_definition() -> None:
    """Property 1, for all groups of up to 16, and a few larger ones; what the monitor computes is the same."""
    for n, votes, right in [*wrong_votes(range(2, 17)), (32, 10, 22), (64, 3, 40)]:
        true, vote = vectors(n, votes, right)
        expected = by_definition(true, vote)
        assert isclose(corrective_advantage_gap(n, votes, right), expected, abs_tol=1e-9), (n, votes, right)
        assert isclose(advantage_gap(true, vote), expected, abs_tol=1e-9), (n, votes, right)


TABLE = {
    1: [2.8284, 4.2762],
    2: [2.8284, 4.4149, 4.6188],
    3: [2.8284, 4.5480, 4.8120, 5.0596],
    4: [2.8284, 4.6955, 5.0237, 5.3286, 5.6569],
    5: [2.8284, 4.8793, 5.2845, 5.6569],
    6: [2.8284, 5.1453, 5.6569],
    7: [2.8284, 5.6569],
    8: [0.0],
    0: [0.0],
}
"""The spec's table for groups of 8: by votes, for 0, 1, ... right rollouts."""


@pytest.mark.parametrize(("votes", "row"), TABLE.items())
def test_of_a_group_of_eight(votes: int, row: list[float]) -> None:
    found = [corrective_advantage_gap(8, votes, right) for right in range(len(row))]
    assert found == pytest.approx(row, abs=5e-5)


@pytest.mark.parametrize(
    ("vote", "true", "expected"),
    [
        ("1100", "0010", 3.5523),
        ("1100", "0011", 4.0),
        ("1100", "0000", 2.0),
        ("1111", "0000", 0.0),
        ("1100", "1100", 0.0),
        ("1100", "1000", 1.8388),
        ("1111", "1000", 2.0),
    ],
)
def test_by_hand(vote: str, true: str, expected: float) -> None:
    """Property 2. The last three groups have votes that are right, of which the closed form knows nothing."""
    pseudo, right = [int(mark) for mark in vote], [int(mark) for mark in true]
    assert advantage_gap(right, pseudo) == advantage_gap(pseudo, right) == pytest.approx(expected, abs=5e-5)
    assert by_definition(right, pseudo) == pytest.approx(expected, abs=5e-5)
    if not any(a and b for a, b in zip(pseudo, right, strict=True)):
        assert corrective_advantage_gap(4, sum(pseudo), sum(right)) == pytest.approx(expected, abs=5e-5)


def test_vote_and_truth_may_change_places() -> None:
    """Property 3."""
    for n, votes, right in wrong_votes(range(2, 17)):
        if right:
            assert isclose(corrective_advantage_gap(n, votes, right), corrective_advantage_gap(n, right, votes))


def test_any_order_of_the_rollouts_has_the_same_gap() -> None:
    """Property 3: the closed form knows numbers alone, whichever rollouts they are."""
    draw = np.random.default_rng(1)
    for n, votes, right in wrong_votes(range(2, 10)):
        order, (true, vote) = draw.permutation(n), vectors(n, votes, right)
        moved = by_definition([true[place] for place in order], [vote[place] for place in order])
        assert isclose(corrective_advantage_gap(n, votes, right), moved, abs_tol=1e-9)


def test_more_right_rollouts_and_more_votes_widen_it() -> None:
    """Property 3."""
    for n in range(2, 17):
        for fixed in range(1, n):
            by_right = [corrective_advantage_gap(n, fixed, right) for right in range(n - fixed + 1)]
            by_votes = [corrective_advantage_gap(n, votes, fixed) for votes in range(1, n - fixed + 1)]
            assert all(one < other for row in (by_right, by_votes) for one, other in pairwise(row))


def test_with_the_sample_deviation_all_gaps_shrink_alike() -> None:
    """Property 4: so that nobody's rank depends on it."""
    assert sqrt(7 / 8) == pytest.approx(0.93541, abs=5e-6)
    for n, votes, right in wrong_votes(range(2, 17)):
        expected = sqrt((n - 1) / n) * corrective_advantage_gap(n, votes, right)
        assert isclose(by_definition(*vectors(n, votes, right), ddof=1), expected, abs_tol=1e-9)


def test_range() -> None:
    """Between √n and 2√n where a wrong vote is not unanimous; the largest where everybody votes or is right."""
    for n, votes, right in wrong_votes(range(2, 17)):
        if votes < n:
            gap = corrective_advantage_gap(n, votes, right) / sqrt(n)
            assert 1 - 1e-12 <= gap <= 2 + 1e-12
            assert (gap == pytest.approx(2)) is (votes + right == n)
    assert corrective_advantage_gap(8, 3, 4) == pytest.approx(5.3286, abs=5e-5), "right in two ways, nobody knew it"


@pytest.mark.parametrize(("votes", "right"), [(8, 0), (0, 0), (0, 4), (4, 5), (6, 3), (2, -1), (9, 0)])
def test_unanimous_and_impossible_groups_cost_nothing(votes: int, right: int) -> None:
    assert corrective_advantage_gap(8, votes, right) == 0.0
