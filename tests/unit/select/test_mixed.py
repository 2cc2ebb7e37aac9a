"""Selection from a mix: proportions, resume, and pools that are too small."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.select.mixed import Pools, uniform
from effrl.select.uniform import UniformSelector
from effrl.types import Prompt


def pool(name: str, size: int) -> list[Prompt]:
    return [Prompt(f"{name}/{number}", f"{number}=") for number in range(size)]


def pools(shares: list[tuple[float, int]]) -> Pools:
    return [(weight, pool(str(part), size)) for part, (weight, size) in enumerate(shares)]


def ids(prompts: list[Prompt]) -> list[str]:
    return [prompt.id for prompt in prompts]


shares = st.lists(st.tuples(st.floats(0.1, 10), st.integers(1, 12)), min_size=2, max_size=4)
counts = st.lists(st.integers(0, 30), max_size=15)
seeds = st.integers(0, 2**32)


def test_one_pool_is_drawn_as_ever() -> None:
    """Or runs of one source could not go on."""
    selector = uniform([(3.0, pool("a", 20))], 1)
    assert ids(list(selector.select(50))) == ids(UniformSelector(pool("a", 20), 1).select(50))


def test_draws_are_proportional_to_weights_not_to_sizes() -> None:
    selector = uniform([(3, pool("a", 100)), (1, pool("b", 1000))], 1)
    for _ in range(10):
        drawn = Counter(name[0] for name in ids(selector.select(16)))
        assert drawn == {"a": 12, "b": 4}


@given(shares, seeds, st.integers(1, 3), st.integers(1, 60))
def test_no_pool_is_ever_far_from_its_share(parts: list[tuple[float, int]], seed: int, count: int, calls: int) -> None:
    """Of calls that no pool is too small for."""
    parts = [(weight, max(size, count)) for weight, size in parts]
    selector = uniform(pools(parts), seed)
    drawn = Counter(name.split("/")[0] for _ in range(calls) for name in ids(selector.select(count)))
    total = sum(weight for weight, _ in parts)
    for part, (weight, _) in enumerate(parts):
        assert abs(drawn[str(part)] - calls * count * weight / total) <= len(parts)


@given(shares, counts, seeds)
def test_every_pool_is_visited_in_epochs(parts: list[tuple[float, int]], calls: list[int], seed: int) -> None:
    selector = uniform(pools(parts), seed)
    drawn = [name for count in calls for name in ids(selector.select(count))]
    assert len(drawn) == sum(calls)
    for part, (_, size) in enumerate(parts):
        of_part = [name for name in drawn if name.startswith(f"{part}/")]
        for start in range(0, len(of_part) - size + 1, size):
            assert len(set(of_part[start : start + size])) == size


@given(shares, counts, seeds)
def test_no_prompt_twice_in_one_call_while_there_are_others(
    parts: list[tuple[float, int]], calls: list[int], seed: int
) -> None:
    selector, size = uniform(pools(parts), seed), sum(size for _, size in parts)
    for count in calls:
        assert len(set(ids(selector.select(count)))) == min(count, size)


def test_a_pool_that_is_too_small_for_its_share_catches_up() -> None:
    selector = uniform([(1, pool("a", 4)), (1, pool("b", 100))], 1)
    assert Counter(name[0] for name in ids(selector.select(16))) == {"a": 4, "b": 12}
    assert Counter(name[0] for name in ids(selector.select(3))) == {"a": 3}


@given(shares, counts, counts, seeds)
def test_restore_of_a_state_continues_identically(
    parts: list[tuple[float, int]], before: list[int], after: list[int], seed: int
) -> None:
    selector, resumed = uniform(pools(parts), seed), uniform(pools(parts), seed)
    for count in before:
        selector.select(count)
    resumed.restore(json.loads(json.dumps(selector.state())))
    assert [ids(selector.select(count)) for count in after] == [ids(resumed.select(count)) for count in after]


def test_pools_do_not_share_an_order() -> None:
    selector = uniform([(1, pool("a", 20)), (1, pool("b", 20))], 1)
    drawn = ids(selector.select(40))
    numbers = [[name[2:] for name in drawn if name[0] == part] for part in "ab"]
    assert numbers[0] != numbers[1]


def test_a_state_of_another_source_is_refused() -> None:
    selector = uniform(pools([(1, 4), (1, 4)]), 1)
    for other in (uniform(pools([(1, 4)] * 3), 1), UniformSelector(pool("a", 4), 1)):
        with pytest.raises(ValueError, match="another data source"):
            selector.restore(other.state())


def test_refuses_no_prompts_shared_ids_and_negative_counts() -> None:
    with pytest.raises(ValueError, match="at least one"):
        uniform([(1, pool("a", 2)), (1, [])], 1)
    with pytest.raises(ValueError, match="unique"):
        uniform([(1, pool("a", 2)), (1, pool("a", 1))], 1)
    with pytest.raises(ValueError, match="-1"):
        uniform(pools([(1, 2), (1, 2)]), 1).select(-1)
