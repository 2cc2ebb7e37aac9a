"""From easy to hard: what is open when, and what a column must hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.columns import difficulty_of
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.select.build import selector as selector_of
from effrl.select.curriculum import CurriculumSelector
from effrl.types import Prompt
from tests.unit.select.pools import numbers, pool


def test_opens_in_order_of_difficulty_while_it_grows() -> None:
    """Draws of 10 from 100 prompts that open over 100 draws: each finds 10 new ones open."""
    selector = CurriculumSelector(pool(100)[::-1], 1, "level", grow=100)
    for call in range(10):
        drawn = numbers(selector.select(10))
        assert max(drawn) < 10 * (call + 1)
    assert max(drawn) > 80, "the last draw is hard"


def test_with_replay_it_opens_by_what_is_rolled_out() -> None:
    """Ten steps of 8, of which two roll out 8 and eight 4: 48 in all, and the pool is open after half of them."""
    sections = {"select": {"kind": "curriculum"}, "rollout": {"prompts": 8}, "run": {"steps": 10}, "replay": {}}
    config = Config.model_validate({"data": {"train": "tasks:chain"}, **sections})
    made = selector_of(config, [(1.0, pool(100))], note=print)
    expected = CurriculumSelector(pool(100), 1, "level", grow=24)
    for _ in range(8):
        assert numbers(made.select(4)) == numbers(expected.select(4))


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 9), st.integers(0, 2**32))
def test_nothing_comes_before_its_time(size: int, grow: int, count: int, seed: int) -> None:
    selector, given_so_far, count = CurriculumSelector(pool(size), seed, "level", grow), 0, min(count, size)
    while given_so_far < 2 * grow:
        opened = max(count, size * min(1.0, given_so_far / grow))
        assert all(number < opened for number in numbers(selector.select(count)))
        given_so_far += count


def test_once_all_are_open_the_hard_ones_catch_up() -> None:
    """100 draws while 20 prompts open over 40: in the end all had about five turns."""
    selector = CurriculumSelector(pool(20), 1, "level", grow=40)
    drawn = [number for _ in range(25) for number in numbers(selector.select(4))]
    assert {drawn.count(number) for number in range(20)} == {5}


def test_equals_open_in_a_random_order() -> None:
    level = [Prompt(f"p/{number}", "?", {"level": number // 50}) for number in range(100)]
    one, two = (numbers(CurriculumSelector(level, seed, "level", 1000).select(25)) for seed in (1, 2))
    assert max(one + two) < 50
    assert set(one) != set(two)
    assert sorted(one) != list(range(25))


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"kind": "a"}, ["'level' of prompt x is not there", "its columns: kind"]),
        ({}, ["its columns: none"]),
        ({"level": "hard"}, ["is 'hard'", "needs a number"]),
        ({"level": True}, ["is True"]),
        ({"level": float("nan")}, ["is nan"]),
        ({"level": None}, ["is None"]),
    ],
)
def test_a_prompt_without_a_number_is_named(meta: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        difficulty_of(Prompt("x", "?", meta), "level", "select.column")
    assert all(word in str(caught.value) for word in words)
