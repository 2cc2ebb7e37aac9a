"""What a probe sees of a group, by hand and against a second way to find out."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reads import answered

from effrl.label.cag import corrective_advantage_gap
from effrl.label.care.features import features, possible
from effrl.types import View

VIEW = View(prompt=np.zeros(4, np.float32), last=np.ones((8, 4), np.float32))


def test_of_three_clusters() -> None:
    """Property 5, and sums of clusters besides."""
    found = features(answered("a", *"aaaabbbc"), VIEW, longest=4)
    assert found.valid == 1.0
    assert found.shares.tolist() == [0.5, 0.375, 0.125, 0, 0, 0, 0, 0]
    assert found.minority.tolist() == [False] * 4 + [True] * 4
    assert np.flatnonzero(found.admissible).tolist() == [0, 1, 3, 4], "4: both of the others may be right"
    expected = [2.8284, 4.6955, 0, 5.3286, 5.6569, 0, 0, 0, 0]
    assert found.gaps.tolist() == pytest.approx(expected, abs=5e-5)
    assert found.lengths.tolist() == [0.25] * 8


def test_without_any_answer_nothing_can_be_gained() -> None:
    """Property 6."""
    found = features(answered("a", *[None] * 8), VIEW, longest=4)
    assert found.valid == 0.0 and not found.shares.any() and not found.minority.any()
    assert np.flatnonzero(found.admissible).tolist() == [0] and not found.gaps.any()


def test_unanimous_groups_have_no_gap() -> None:
    assert not features(answered("a", *"aaaaaaaa"), VIEW, longest=4).gaps.any()


def test_who_has_no_answer_is_in_no_minority() -> None:
    found = features(answered("a", "a", None, "b", "a", None, "a", "a", "a"), VIEW, longest=1)
    assert np.flatnonzero(found.minority).tolist() == [2]
    assert found.valid == 0.75


@given(st.lists(st.integers(1, 5), max_size=6).map(lambda sizes: sorted(sizes, reverse=True)))
def test_every_sum_of_other_clusters_is_possible(sizes: list[int]) -> None:
    n = max(2, sum(sizes))
    others = sizes[1:]
    brute = {sum(chosen) for count in range(len(others) + 1) for chosen in combinations(others, count)}
    assert set(np.flatnonzero(possible(n, sizes)).tolist()) == brute


@given(st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=2, max_size=9))
def test_the_order_of_rollouts_moves_rows_and_nothing_else(answers: list[str | None]) -> None:
    """Property 3, of what a probe sees."""
    n = len(answers)
    order = np.random.default_rng(n).permutation(n)
    view = View(prompt=np.zeros(2, np.float32), last=np.arange(2 * n, dtype=np.float32).reshape(n, 2))
    moved = View(prompt=view.prompt, last=view.last[order] if view.last is not None else None)
    one, other = (
        features(answered("a", *answers), view, 1),
        features(answered("a", *[answers[place] for place in order]), moved, 1),
    )
    assert np.array_equal(one.shares, other.shares) and np.array_equal(one.gaps, other.gaps)
    assert np.array_equal(one.last[order], other.last)
    counts = sorted(answers.count(answer) for answer in set(answers) - {None})
    if len(counts) < 2 or counts[-1] > counts[-2]:  # else the order says who is the majority
        assert np.array_equal(one.minority[order], other.minority)


def test_the_gaps_are_those_of_the_closed_form() -> None:
    found = features(answered("a", *"aabbbccc"), VIEW, longest=4)
    assert found.gaps[5] == pytest.approx(corrective_advantage_gap(8, 3, 5)), "more are right than voted"
