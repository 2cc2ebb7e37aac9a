"""Uniform selection: permutations, borders between epochs, resume."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.select.uniform import UniformSelector
from effrl.types import Prompt


def pool(size: int) -> list[Prompt]:
    return [Prompt(f"p/{number}", f"{number}=") for number in range(size)]


def ids(prompts: list[Prompt]) -> list[str]:
    return [prompt.id for prompt in prompts]


sizes = st.integers(1, 30)
counts = st.lists(st.integers(0, 40), max_size=30)
seeds = st.integers(0, 2**32)


@given(sizes, counts, seeds)
def test_each_epoch_is_a_permutation(size: int, calls: list[int], seed: int) -> None:
    selector = UniformSelector(pool(size), seed)
    drawn = [name for count in calls for name in ids(selector.select(count))]
    everything = set(ids(pool(size)))
    for start in range(0, len(drawn) - size + 1, size):
        assert set(drawn[start : start + size]) == everything
    assert len(drawn) == sum(calls)


@given(sizes, counts, seeds)
def test_no_prompt_twice_in_one_call_unless_the_pool_is_smaller(size: int, calls: list[int], seed: int) -> None:
    selector = UniformSelector(pool(size), seed)
    for count in calls:
        chosen = ids(selector.select(count))
        assert len(set(chosen)) == min(count, size)
        # A larger call still repeats as evenly as it can.
        assert max((chosen.count(name) for name in chosen), default=0) <= -(-count // size)


@given(sizes, counts, counts, seeds)
def test_restore_of_a_state_continues_identically(size: int, before: list[int], after: list[int], seed: int) -> None:
    selector, resumed = UniformSelector(pool(size), seed), UniformSelector(pool(size), seed)
    for count in before:
        selector.select(count)
    resumed.restore(json.loads(json.dumps(selector.state())))
    assert [ids(selector.select(count)) for count in after] == [ids(resumed.select(count)) for count in after]


def test_orders_differ_between_seeds_and_epochs() -> None:
    selector = UniformSelector(pool(50), 1)
    first, second = ids(selector.select(50)), ids(selector.select(50))
    assert first != second
    assert first != ids(UniformSelector(pool(50), 2).select(50))
    assert first != ids(pool(50))


def test_the_order_of_an_epoch_does_not_depend_on_how_it_is_cut_into_calls() -> None:
    whole, cut = UniformSelector(pool(12), 3), UniformSelector(pool(12), 3)
    assert ids(whole.select(12)) == [name for _ in range(4) for name in ids(cut.select(3))]


def test_the_state_stays_small() -> None:
    selector = UniformSelector(pool(1000), 1)
    for _ in range(200):
        selector.select(64)
        assert len(selector.state()["deferred"]) < 64


@pytest.mark.parametrize(
    "state",
    [
        {"epoch": 0, "position": 9, "deferred": []},
        {"epoch": 0, "position": -1, "deferred": []},
        {"epoch": 0, "position": 1, "deferred": ["elsewhere/1"]},
    ],
)
def test_a_state_of_other_prompts_is_refused_and_changes_nothing(state: dict[str, object]) -> None:
    selector, untouched = UniformSelector(pool(5), 1), UniformSelector(pool(5), 1)
    with pytest.raises(ValueError, match="another data source"):
        selector.restore(state)
    assert ids(selector.select(5)) == ids(untouched.select(5))


def test_refuses_no_prompts_shared_ids_and_negative_counts() -> None:
    with pytest.raises(ValueError, match="at least one"):
        UniformSelector([], 1)
    with pytest.raises(ValueError, match="unique"):
        UniformSelector([Prompt("a", "1="), Prompt("a", "2=")], 1)
    with pytest.raises(ValueError, match="-1"):
        UniformSelector(pool(2), 1).select(-1)
