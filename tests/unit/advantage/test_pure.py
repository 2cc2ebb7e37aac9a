"""PURE's advantages against the numbers of its specification, and its properties."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.advantage.build import advantages
from effrl.advantage.pure import Steps, pure_advantages
from effrl.config.advantage import PureAdvantage
from effrl.errors import RunError
from effrl.sequences import GroupRewards, TokenRewards

FIRST, SECOND = ([0.8, -0.5, 0.6], [4, 3, 2]), ([0.4, 0.2], [5, 3])
rewards = st.lists(st.floats(-1, 1), min_size=1, max_size=8)


def stepwise(values: Sequence[float], sizes: Sequence[int]) -> TokenRewards:
    """Steps of so many tokens, and one more at which each ends."""
    found = [token for value, size in zip(values, sizes, strict=True) for token in (*[0.0] * size, value)]
    ends = [token for size in sizes for token in (*[False] * size, True)]
    return TokenRewards(np.array(found, np.float32), np.array(ends))


def of(outcomes: Sequence[float], *rollouts: tuple[list[float], list[int]]) -> GroupRewards:
    rows = tuple(stepwise(*rollout) for rollout in rollouts)
    return GroupRewards(np.array(outcomes, np.float32), tuple(len(row.values) for row in rows), rows)


def ends(**fields: Any) -> PureAdvantage:
    return PureAdvantage(steps="ends", **fields)


def per_step(config: PureAdvantage, group: GroupRewards) -> list[list[float]]:
    """The advantage of each step, once; the tokens at which steps end have none."""
    found = []
    for row, tokens in zip(advantages(config)([group])[0], group.tokens or (), strict=True):
        assert tokens.ends is not None and not row[tokens.ends].any()
        inner = row[~tokens.ends]
        found.append([float(value) for value, before in zip(inner, [None, *inner], strict=False) if value != before])
    return found


def weighed(values: Sequence[float]) -> np.ndarray:
    none = np.zeros(0, np.int64)
    return Steps(np.array(values, np.float64), none, none.astype(bool)).weighed(0.1)[:-1]


def test_the_soft_minimum() -> None:
    found = weighed([0.8, -0.5, 0.6])
    assert found.sum() == pytest.approx(-0.499979, abs=1e-6)
    assert np.cumsum(found[::-1])[::-1] == pytest.approx([-0.499979, -0.499980, 0.000010], abs=1e-6)
    assert weighed([0.4, 0.2]) / [0.4, 0.2] == pytest.approx([0.119203, 0.880797], abs=1e-6)
    assert weighed([0.4, 0.2]).sum() == pytest.approx(0.223841, abs=1e-6)


@given(rewards)
def test_it_lies_between_the_smallest_and_the_mean(values: list[float]) -> None:
    total = weighed(values).sum()
    assert min(values) - 1e-9 <= total <= np.mean(values) + 1e-9


@pytest.mark.parametrize(("values", "expected"), [([0.5] * 3, 0.5), ([-0.3], -0.3)])
def test_equal_steps_count_once(values: list[float], expected: float) -> None:
    assert weighed(values).sum() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (ends(outcome=0, whiten=False), [[-0.701435, -0.611901, -0.044758], [0.557160, 0.301154]]),
        (ends(whiten=False), [[-1.701435, -1.611901, -1.044758], [1.557160, 1.301154]]),
        (ends(), [[-1.050594, -0.991110, -0.614316], [1.114323, 0.944240]]),
        (ends(outcome=0, whiten=False, baseline="step"), [[-0.835740, -0.723821, -0.111910], [0.557160, 0.342819]]),
    ],
)
def test_the_numbers_of_the_specification(config: PureAdvantage, expected: list[list[float]]) -> None:
    found = per_step(config, of([0, 1], FIRST, SECOND))
    assert [value for row in found for value in row] == pytest.approx([v for row in expected for v in row], abs=2e-6)


def test_the_order_of_rollouts_does_not_matter() -> None:
    one, other = of([0, 1], FIRST, SECOND), of([1, 0], SECOND, FIRST)
    first, second = pure_advantages([one], ends())[0], pure_advantages([other], ends())[0]
    assert all(np.allclose(*pair) for pair in zip(first, reversed(second), strict=True))


@pytest.mark.parametrize("steps", ["ends", "block"])
def test_without_any_reward_it_is_rloo(steps: Any) -> None:
    group = of([1, 0, 0], ([0.0, 0.0], [1, 2]), ([0.0], [3]), ([0.0], [2]))
    found = pure_advantages([group], PureAdvantage(steps=steps, whiten=False))[0]
    for row, expected in zip(found, [1, -0.5, -0.5], strict=True):
        assert set(np.round(row[row != 0], 12)) == {expected}


def test_blocks_are_scaled_by_the_largest_of_the_step() -> None:
    """Blocks of two tokens: sums of 2, -1, 3 in one rollout and 1 in the other are 2/3, -1/3, 1 and 1/3."""
    tokens = tuple(TokenRewards(np.array(row, np.float32)) for row in ([1, 1, 0, -1, 3], [1, 0]))
    group = GroupRewards(np.array([1, 0], np.float32), (5, 2), tokens)
    blocks = pure_advantages([group], PureAdvantage(block=2, outcome=0, whiten=False))[0]
    own = weighed([2 / 3, -1 / 3, 1])
    expected = np.cumsum((own - 1 / 3 / 2 * np.array([2, 2, 1]))[::-1])[::-1]
    assert blocks[0] == pytest.approx([expected[0]] * 2 + [expected[1]] * 2 + [expected[2]], abs=1e-5)
    larger = tuple(TokenRewards(7 * row.values) for row in tokens)
    again = pure_advantages(
        [GroupRewards(group.outcome, (5, 2), larger)], PureAdvantage(block=2, outcome=0, whiten=False)
    )
    assert all(np.allclose(*pair, atol=1e-5) for pair in zip(blocks, again[0], strict=True))


def test_rollouts_without_tokens() -> None:
    tokens = tuple(TokenRewards(np.array(row, np.float32)) for row in ([], [0.5], [0.5, -0.5]))
    group = GroupRewards(np.array([1, 0, 0], np.float32), (0, 1, 2), tokens)
    for baseline in ("token", "step"):
        found = pure_advantages([group], PureAdvantage(baseline=baseline))[0]
        assert [len(row) for row in found] == [0, 1, 2] and all(np.isfinite(row).all() for row in found)


def test_rewards_that_mark_no_steps_are_one_line() -> None:
    tokens = (TokenRewards(np.zeros(2, np.float32)),) * 2
    with pytest.raises(RunError, match=r"do not say where steps end: set advantage.steps=block"):
        advantages(ends())([GroupRewards(np.array([1, 0], np.float32), (2, 2), tokens)])
