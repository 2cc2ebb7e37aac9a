"""Advantages against hand-computed numbers and naive second implementations."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.advantage.build import advantages
from effrl.advantage.grpo import grpo_advantages
from effrl.advantage.reinforce_pp import reinforce_pp_advantages
from effrl.advantage.rloo import rloo_advantages
from effrl.config.advantage import (
    AnyAdvantage,
    GaeAdvantage,
    GrpoAdvantage,
    PluginAdvantage,
    ReinforcePpAdvantage,
    RlooAdvantage,
)
from effrl.errors import RunError, UserError
from effrl.sequences import GroupRewards, TokenRewards
from effrl.types import Float32

KINDS = [GrpoAdvantage(), GrpoAdvantage(std="none"), RlooAdvantage(), ReinforcePpAdvantage()]
PLUGINS = Path(__file__).parents[2] / "plugins"
every_kind = pytest.mark.parametrize("config", KINDS, ids=["grpo", "dr_grpo", "rloo", "reinforce_pp"])

group = st.lists(st.floats(0, 1, width=32), min_size=2, max_size=16)
groups = st.lists(group, min_size=1, max_size=6)


def of(outcomes: Sequence[float], tokens: Sequence[Sequence[float]] | None = None) -> GroupRewards:
    """A group of rollouts of three tokens each, or as many as have process rewards."""
    lengths = (3,) * len(outcomes) if tokens is None else tuple(map(len, tokens))
    process = None if tokens is None else tuple(TokenRewards(np.array(row, np.float32)) for row in tokens)
    return GroupRewards(np.array(outcomes, np.float32), lengths, process)


def estimate(config: AnyAdvantage, rewards: Sequence[Sequence[float]]) -> list[Float32]:
    """[N] of each group, by estimators that have one number per rollout."""
    found = advantages(config)([of(values) for values in rewards])
    assert all(row.shape == (1,) for rows in found for row in rows)
    return [np.concatenate(rows) for rows in found]


# --- by hand


def test_grpo_by_hand() -> None:
    rewards = np.array([1, 0, 0, 0], np.float32)  # mean 1/4, sample variance 1/4
    assert np.allclose(grpo_advantages(rewards, "sample"), [1.5, -0.5, -0.5, -0.5], atol=1e-5)
    assert np.allclose(grpo_advantages(rewards, "none"), [0.75, -0.25, -0.25, -0.25])


@pytest.mark.parametrize(
    ("rewards", "expected"),
    [
        ([1] * 4 + [0] * 4, [0.93541] * 4 + [-0.93541] * 4),
        ([1] + [0] * 7, [2.47487] + [-0.35355] * 7),
        ([1] * 8, [0.0] * 8),
        ([0] * 8, [0.0] * 8),
    ],
)
def test_grpo_of_a_group_of_eight(rewards: list[int], expected: list[float]) -> None:
    """Property 12 of CARE."""
    found = grpo_advantages(np.array(rewards, np.float32), "sample")
    assert found.tolist() == pytest.approx(expected, abs=1e-5) and (len(set(rewards)) > 1 or not found.any())


def test_rloo_by_hand() -> None:
    """Of 1, 0, 0, 0.5 the others' means are 1/6, 1/2, 1/2 and 1/3."""
    assert np.allclose(rloo_advantages(np.array([1, 0, 0, 0.5], np.float32)), [5 / 6, -1 / 2, -1 / 2, 1 / 6])


def test_reinforce_pp_by_hand() -> None:
    """Differences +-1/2 and (3/4, -1/4, -1/4, -1/4): squares sum to 1/2 + 3/4, over six sequences."""
    first, second = reinforce_pp_advantages([np.array([1, 0], np.float32), np.array([1, 0, 0, 0], np.float32)])
    scale = math.sqrt(1.25 / 6)
    assert np.allclose(first, [0.5 / scale, -0.5 / scale], atol=1e-5)
    assert np.allclose(second, [0.75 / scale] + 3 * [-0.25 / scale], atol=1e-5)


# --- against loops


@given(group)
def test_grpo_against_the_standard_library(rewards: list[float]) -> None:
    mean, deviation = statistics.fmean(rewards), statistics.stdev(rewards)
    expected = [(reward - mean) / (deviation + 1e-6) for reward in rewards]
    actual = grpo_advantages(np.array(rewards, np.float32), "sample")
    assert actual.dtype == np.float32
    assert np.allclose(actual, expected, atol=2e-3)
    assert abs(actual.sum()) < 1e-2


@given(group)
def test_rloo_against_a_loop(rewards: list[float]) -> None:
    expected = []
    for index, reward in enumerate(rewards):
        others = [other for place, other in enumerate(rewards) if place != index]
        expected.append(reward - sum(others) / len(others))
    actual = rloo_advantages(np.array(rewards, np.float32))
    assert actual.dtype == np.float32
    assert np.allclose(actual, expected, atol=1e-6)


@given(groups)
def test_reinforce_pp_against_the_standard_library(rewards: list[list[float]]) -> None:
    centred = [[reward - statistics.fmean(values) for reward in values] for values in rewards]
    deviation = statistics.pstdev([difference for values in centred for difference in values])
    actual = reinforce_pp_advantages([np.array(values, np.float32) for values in rewards])
    for found, values in zip(actual, centred, strict=True):
        assert found.dtype == np.float32
        assert np.allclose(found, [difference / (deviation + 1e-6) for difference in values], atol=2e-3)


# --- properties


@every_kind
def test_equal_rewards_give_exactly_no_advantage(config: AnyAdvantage) -> None:
    """Alone, and beside a group with signal: neither NaN nor the rounding of a mean."""
    alone, other = [0.3] * 8, [1, 0, 0.1]
    assert (estimate(config, [alone])[0] == 0).all()
    together = estimate(config, [other, alone])
    assert (together[1] == 0).all() and (together[0] != 0).any()


@every_kind
@given(rewards=groups)
def test_advantages_of_a_group_sum_to_zero_and_are_finite(config: AnyAdvantage, rewards: list[list[float]]) -> None:
    found = estimate(config, rewards)
    assert [len(values) for values in found] == [len(values) for values in rewards]
    for values in found:
        assert np.isfinite(values).all()
        assert abs(values.sum()) < 1e-3 * max(1.0, float(np.abs(values).max()))


eighths = st.lists(st.lists(st.integers(0, 8), min_size=2, max_size=8), min_size=1, max_size=4)


@every_kind
@given(rewards=eighths, shifts=st.lists(st.integers(-8, 8), min_size=4, max_size=4))
def test_a_reward_for_everybody_changes_nothing(
    config: AnyAdvantage, rewards: list[list[int]], shifts: list[int]
) -> None:
    """Each group has a shift of its own; in eighths, so that no reward is rounded."""
    plain = [[reward / 8 for reward in values] for values in rewards]
    shifted = [[reward + shift / 8 for reward in values] for values, shift in zip(plain, shifts, strict=False)]
    for one, other in zip(estimate(config, plain), estimate(config, shifted), strict=True):
        assert np.allclose(one, other, atol=1e-6)


@every_kind
def test_whether_groups_know_of_each_other(config: AnyAdvantage) -> None:
    """Only REINFORCE++ uses statistics of the whole step."""
    [alone], [first, _] = estimate(config, [[1, 0]]), estimate(config, [[1, 0], [0.1, 0]])
    assert np.allclose(alone, first) == (config.kind != "reinforce_pp")


# --- rewards of tokens


def test_the_outcome_is_known_at_the_last_token() -> None:
    [(first, second)] = advantages(GaeAdvantage())([of([1.0, 0.5], [[0.25, 0.5], [0.0, 0.0, -1.0]])])
    assert (first.tolist(), second.tolist()) == ([0.25, 1.5], [0, 0, -0.5])
    [(first, second)] = advantages(GaeAdvantage())([of([1.0, 0.5])])
    assert (first.tolist(), second.tolist()) == ([0, 0, 1], [0, 0, 0.5])


def test_process_rewards_are_not_written_over() -> None:
    group = of([1.0, 0.0], [[0.25, 0.5], [0.5]])
    advantages(GaeAdvantage())([group])
    assert group.tokens is not None and group.tokens[0].values.tolist() == [0.25, 0.5]


# --- your own


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGINS))


def test_a_function_of_your_own(plugins: None) -> None:
    first, second = estimate(PluginAdvantage(kind="advantages:best_of_step"), [[1, 0], [0.5, 0, 0.25]])
    assert first.dtype == np.float32
    assert (first.tolist(), second.tolist()) == ([0, -1], [-0.5, -1, -0.75])


def test_a_function_of_your_own_may_have_a_number_for_each_token(plugins: None) -> None:
    function = advantages(PluginAdvantage(kind="advantages:rewards_to_come"))
    found = function([of([1, 0], [[0.25, 0.5], [0.5, 0.0, -1.0]])])
    assert [row.tolist() for row in found[0]] == [[1.75, 1.5], [-0.5, -1.0, -1.0]]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("too_few", r"'advantages:too_few' returned \[1\] advantages for groups of \[2\] rollouts"),
        ("no_groups", r"returned \[\] advantages for groups of \[2\] rollouts"),
        ("of_no_token", r"returned shape \(4,\) for a rollout of 3 tokens: \(3,\) or \(1,\) was expected"),
        ("not_finite", "returned advantages that are not finite"),
        ("failing", "'advantages:failing' failed: ZeroDivisionError"),
        ("text", "'advantages:text' failed: ValueError"),
    ],
)
def test_what_your_own_returns_is_checked(name: str, message: str, plugins: None) -> None:
    """Or a NaN would be found in the weights, steps later."""
    with pytest.raises(RunError, match=message):
        estimate(PluginAdvantage(kind=f"advantages:{name}"), [[1, 0]])


def test_a_function_that_is_not_there(plugins: None) -> None:
    with pytest.raises(UserError, match=r"advantage.kind 'advantages:best_of_stpe'.*did you mean 'best_of_step'"):
        advantages(PluginAdvantage(kind="advantages:best_of_stpe"))
