"""Drawing the smallest keys, and taking turns."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.select.band import BandSelector, in_band
from effrl.select.curriculum import CurriculumSelector
from effrl.select.ranked import RankedSelector, smallest
from effrl.select.thompson import ThompsonSelector
from effrl.types import Prompt
from tests.unit.select.pools import numbers, pool, seen

seeds = st.integers(0, 2**32)


def every_selector(size: int, seed: int = 1) -> list[RankedSelector]:
    return [
        BandSelector(pool(size), seed, 0.25, 0.75, 4),
        CurriculumSelector(pool(size), seed, "level", 10),
        ThompsonSelector(pool(size), seed, 0.5, 1.0, 0.5),
    ]


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.data())
def test_smallest_is_the_head_of_a_stable_sort(keys: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(keys)))
    expected = sorted(range(len(keys)), key=lambda index: keys[index])[:count]
    assert smallest(np.array(keys, np.float64), count) == expected


@given(st.integers(1, 20), st.lists(st.integers(0, 9), max_size=20), seeds)
def test_without_outcomes_a_band_visits_every_prompt_once_per_epoch(size: int, calls: list[int], seed: int) -> None:
    selector = BandSelector(pool(size), seed, 0.25, 0.75, 4)
    drawn: list[int] = []
    for count in calls:
        drawn += numbers(selector.select(count))
        times = [drawn.count(number) for number in range(size)]
        assert max(times) - min(times) <= 1


def test_a_state_of_other_prompts_is_refused_and_changes_nothing() -> None:
    for large, small, untouched in zip(every_selector(9), every_selector(5), every_selector(5), strict=True):
        large.observe([seen(8, 2)])
        large.select(9)
        with pytest.raises(ValueError, match="another data source"):
            small.restore(large.state())
        assert small.select(3) == untouched.select(3)


def test_refuses_no_prompts_shared_ids_and_negative_counts() -> None:
    with pytest.raises(ValueError, match="at least one"):
        BandSelector([], 1, 0.25, 0.75, 4)
    with pytest.raises(ValueError, match="unique"):
        BandSelector([Prompt("a", "1="), Prompt("a", "2=")], 1, 0.25, 0.75, 4)
    for selector in every_selector(3):
        with pytest.raises(ValueError, match="-1"):
            selector.select(-1)


def test_seeds_make_different_orders() -> None:
    """But for a curriculum whose prompts all differ in difficulty."""
    (band, _, thompson), (other_band, _, other_thompson) = every_selector(40, 1), every_selector(40, 2)
    assert numbers(band.select(40)) != numbers(other_band.select(40))
    assert numbers(thompson.select(40)) != numbers(other_thompson.select(40))


def test_a_state_names_only_what_is_known() -> None:
    for selector in every_selector(1000):
        assert json.loads(json.dumps(selector.state()))["known"] == {}


# --- band


@pytest.mark.parametrize(
    ("passes", "tries", "low", "high", "inside"),
    [
        (1, 8, 0.125, 0.875, True),
        (7, 8, 0.125, 0.875, True),
        (0, 8, 0.125, 0.875, False),
        (8, 8, 0.125, 0.875, False),
        (7, 100, 0.07, 0.5, True),
        (6, 100, 0.07, 0.5, False),
        (3, 10, 0.1, 0.3, True),
        (2.5, 8, 0.3125, 0.4, True),
        (0, 8, 0.0, 1.0, True),
    ],
)
def test_the_border_belongs_to_the_band(passes: float, tries: int, low: float, high: float, inside: bool) -> None:
    """0.1 + 0.2 and 0.07 x 100 are not what they seem in floating point."""
    assert in_band(passes, tries, low, high) is inside


@given(st.integers(1, 64), st.integers(0, 64), st.integers(0, 64), st.integers(0, 64))
def test_bands_of_whole_counts_are_exact(tries: int, passes: int, low: int, high: int) -> None:
    passes = min(passes, tries)
    assert in_band(passes, tries, low / tries, high / tries) == (low <= passes <= high)


def test_a_prompt_outside_the_band_sits_out_as_many_turns_as_configured() -> None:
    """Ten prompts, 0 and 1 solved; the other eight come five times, then all ten once more."""
    selector = BandSelector(pool(10), 1, 0.25, 0.75, 4)
    selector.select(10)
    selector.observe([seen(number, 8.0 if number < 2 else 4.0) for number in range(10)])
    while_resting = numbers(selector.select(8)) + [n for _ in range(3) for n in numbers(selector.select(8))]
    assert sorted(while_resting) == sorted(list(range(2, 10)) * 4)
    assert sorted(numbers(selector.select(10))) == list(range(10))


def test_what_a_prompt_was_does_not_count_once_it_is_tried_again() -> None:
    """Solved, so it sits out one turn; then at one half: from there on it takes turns as the other does."""
    selector = BandSelector(pool(2), 1, 0.25, 0.75, 1)
    selector.observe([seen(0, 8.0)])
    assert numbers(selector.select(1)) == [1]
    selector.observe([seen(0, 4.0)])
    drawn = [number for _ in range(10) for number in numbers(selector.select(1))]
    assert {drawn.count(number) for number in (0, 1)} == {5}


def test_a_pool_without_a_prompt_in_the_band_still_fills_every_call() -> None:
    selector = BandSelector(pool(6), 1, 0.25, 0.75, 4)
    for _ in range(20):
        drawn = numbers(selector.select(4))
        assert len(set(drawn)) == 4
        selector.observe([seen(number, 0.0) for number in drawn])
