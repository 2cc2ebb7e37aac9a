"""PRIME's advantages against the numbers of its specification, and against sums written out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.advantage.build import advantages
from effrl.advantage.prime import prime_advantages
from effrl.advantage.process import leave_one_out, to_come, whitened
from effrl.config.advantage import (
    AnyAdvantage,
    GrpoAdvantage,
    PrimeAdvantage,
    ReinforceAdvantage,
    ReinforcePpAdvantage,
    RlooAdvantage,
)
from effrl.sequences import GroupRewards, TokenRewards

FIRST, SECOND = [0.1, 0.3], [-0.2, 0.0, -0.1]
numbers = st.floats(-1, 1, width=32)
rollout = st.lists(numbers, max_size=6)
grouped = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), rollout), min_size=2, max_size=5)


def of(outcomes: Sequence[float], tokens: Sequence[Sequence[float]]) -> GroupRewards:
    rows = tuple(TokenRewards(np.array(row, np.float32)) for row in tokens)
    return GroupRewards(np.array(outcomes, np.float32), tuple(map(len, tokens)), rows)


def plain(outcome: float = 1.0, process: float = 1.0, **fields: Any) -> PrimeAdvantage:
    return PrimeAdvantage(outcome=outcome, process=process, **{"whiten": False, **fields})


def flat(config: AnyAdvantage, *groups: GroupRewards) -> list[float]:
    return [float(value) for rows in advantages(config)(groups) for row in rows for value in row]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (plain(outcome=0), [0.6, 0.4, -0.9, -0.5, -0.3]),
        (plain(outcome=0, form="code"), [0.6, 0.5, -0.9, -0.4, -0.3]),
        (plain(outcome=0, gamma=0.5), [0.4, 0.4, -0.575, -0.35, -0.3]),
        (plain(), [1.6, 1.4, -1.9, -1.5, -1.3]),
        (plain(form="code"), [1.6, 1.5, -1.9, -1.4, -1.3]),
        (plain(process=0, gamma_outcome=0.5), [0.5, 1, -0.25, -0.5, -1]),
        (PrimeAdvantage(), [1.144548, 1.026553, -0.920358, -0.684369, -0.566374]),
        (PrimeAdvantage(form="code"), [1.114758, 1.056086, -0.938743, -0.645386, -0.586715]),
        (PrimeAdvantage(outcome=3, process=3), [1.144548, 1.026553, -0.920358, -0.684369, -0.566374]),
    ],
)
def test_the_numbers_of_the_specification(config: PrimeAdvantage, expected: list[float]) -> None:
    assert flat(config, of([1, 0], [FIRST, SECOND])) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("right", "expected"), [(1, [1, -1 / 3]), (2, [2 / 3, -2 / 3]), (3, [1 / 3, -1]), (4, [0, 0]), (0, [0, 0])]
)
def test_outcomes_of_four(right: int, expected: list[float]) -> None:
    outcomes = [1.0] * right + [0.0] * (4 - right)
    found = flat(plain(), of(outcomes, [[0.0]] * 4))
    assert found == pytest.approx([expected[0]] * right + [expected[1]] * (4 - right))
    assert found == pytest.approx(flat(plain(), of([value + 2 for value in outcomes], [[0.0]] * 4)), abs=1e-6)


@given(grouped, st.sampled_from(["paper", "code"]), st.floats(0, 1), st.floats(0, 2), st.floats(0, 2))
def test_it_is_the_sum_written_out(
    group: list[tuple[float, list[float]]], form: Any, gamma: float, outcome: float, process: float
) -> None:
    """Per token, with no vector arithmetic at all."""
    outcomes, tokens = [pair[0] for pair in group], [pair[1] for pair in group]
    found = prime_advantages([of(outcomes, tokens)], plain(outcome, process, form=form, gamma=gamma))[0]
    means = [sum(row) / len(row) if row else 0.0 for row in tokens]
    others = len(group) - 1
    for i, row in enumerate(tokens):
        baseline = sum(mean for j, mean in enumerate(means) if j != i) / others
        stretched = [(len(group) * r - sum(means)) / others if form == "code" else r - baseline for r in row]
        lone = outcomes[i] - sum(o for j, o in enumerate(outcomes) if j != i) / others
        for t in range(len(row)):
            rest = sum(gamma ** (s - t) * stretched[s] for s in range(t, len(row)))
            assert found[i][t] == pytest.approx(outcome * lone + process * rest, abs=1e-5)


@given(grouped, st.floats(-2, 2, width=32))
def test_what_all_tokens_of_a_prompt_have_in_common_cancels(
    group: list[tuple[float, list[float]]], constant: float
) -> None:
    """Of rollouts with tokens: the mean of none is 0 whatever is added to them."""
    tokens = [[*row, 0.5] for _, row in group]
    outcomes = [pair[0] for pair in group]
    raised = [[value + constant for value in row] for row in tokens]
    assert flat(plain(), of(outcomes, raised)) == pytest.approx(flat(plain(), of(outcomes, tokens)), abs=1e-4)


def test_what_all_rollouts_have_in_common_does_not_where_lengths_differ() -> None:
    tokens = [[0.0, 0.6], [0.0, 0.0, 0.6]]
    raised = [[0.0, 1.6], [0.0, 0.0, 1.6]]
    assert flat(plain(), of([1, 0], raised)) != pytest.approx(flat(plain(), of([1, 0], tokens)), abs=1e-3)


def test_at_the_first_token_both_forms_are_one() -> None:
    rows = [TokenRewards(np.array(row, np.float32)) for row in ([0.1, -0.4, 0.2], [0.3], [0.0, 0.5])]
    for paper, code in zip(leave_one_out(rows), leave_one_out(rows, "code"), strict=True):
        assert to_come(paper)[0] == pytest.approx(to_come(code)[0])


@given(st.lists(st.lists(numbers, min_size=1, max_size=5), min_size=2, max_size=4))
def test_whitening(rows: list[list[float]]) -> None:
    exact = [[np.array(row, np.float64) for row in rows]]
    found = np.concatenate(whitened(exact)[0])
    assert found.mean() == pytest.approx(0, abs=1e-6)
    spread = np.concatenate(exact[0]).std(ddof=1)
    assert spread < 1e-3 or found.std(ddof=1) == pytest.approx(1, abs=1e-2)


def test_one_reward_at_the_end_is_an_outcome_reward() -> None:
    """``granularity: whole``: the baseline is over the one token that has a reward, and all tokens are alike."""
    tokens = tuple(
        TokenRewards(np.array([0, 0, value], np.float32), np.array([False, False, True])) for value in (0.4, 0.1, 0.1)
    )
    group = GroupRewards(np.array([1, 0, 0], np.float32), (3, 3, 3), tokens)
    found = advantages(plain())([group])[0]
    assert [np.ptp(row) for row in found] == [0, 0, 0]
    assert [row[0] for row in found] == pytest.approx([1 + 0.3, -0.5 - 0.15, -0.5 - 0.15])


def test_rollouts_of_one_token_and_of_none() -> None:
    found = advantages(PrimeAdvantage())([of([1, 0, 0], [[], [0.2], [0.1, 0.4]])])[0]
    assert [len(row) for row in found] == [0, 1, 2] and all(np.isfinite(row).all() for row in found)


def test_other_estimators_by_hand() -> None:
    """Means of 0.2 and -0.1 have a mean of 0.05 and a sample standard deviation of 0.3 / sqrt 2."""
    group = of([1, 0], [FIRST, SECOND])
    assert flat(ReinforceAdvantage(), group) == pytest.approx([1.4, 1.3, -0.3, -0.1, -0.1], abs=1e-6)
    assert flat(RlooAdvantage(), group) == pytest.approx([1.6, 1.4, -1.9, -1.5, -1.3], abs=1e-6)
    dr_grpo = [0.5 + 0.3, 0.5 + 0.25, -0.5 - 0.45, -0.5 - 0.2, -0.5 - 0.15]
    assert flat(GrpoAdvantage(std="none"), group) == pytest.approx(dr_grpo, abs=1e-6)
    spread, outcome = 0.3 / 2**0.5, 1 / 2**0.5
    grpo = [outcome + 0.3 / spread, outcome + 0.25 / spread] + [-outcome - part / spread for part in (0.45, 0.2, 0.15)]
    assert flat(GrpoAdvantage(), group) == pytest.approx(grpo, abs=1e-4)
    one = [1 + 0.3 / 0.15, 1 + 0.25 / 0.15, -1 - 0.45 / 0.15, -1 - 0.2 / 0.15, -1 - 0.15 / 0.15]
    assert flat(ReinforcePpAdvantage(), group) == pytest.approx(one, abs=1e-4)


@pytest.mark.parametrize("config", [RlooAdvantage(), GrpoAdvantage(), ReinforcePpAdvantage(), plain()])
def test_rewards_of_nothing_change_nothing(config: AnyAdvantage) -> None:
    nothing = of([1, 0, 0, 1], [[0.0] * 3] * 4)
    without = GroupRewards(nothing.outcome, nothing.lengths)
    for row, other in zip(advantages(config)([nothing])[0], advantages(config)([without])[0], strict=True):
        assert np.array_equal(row, np.broadcast_to(other, row.shape)), "to the bit"
