"""CurES: the figures of its rule, who is drawn how often, and how rollouts are shared out."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.select.build import _check_sizes
from effrl.select.build import selector as selector_of
from effrl.select.cures import Allocation, CuresSelector, SpreadSelector, largest_remainders
from effrl.types import Pick
from tests.unit.select.pools import numbers, pool, seen

SPREAD = [0.372678, 0.471405, 0.5, 0.471405, 0.372678]
"""s after 0 to 4 passes of 4, the prior in it."""


def of_four(memory: float = 1.0, tau: float = 0.1) -> SpreadSelector:
    """Prompt n passed n of 4 times."""
    selector = SpreadSelector(pool(5), 1, tau, memory)
    selector.observe([seen(number, float(number), 4) for number in range(5)])
    return selector


def cures(size: int) -> CuresSelector:
    return CuresSelector(pool(size), 1, 0.1, 0.5, Allocation(8, 2, 4.0))


def test_spread_by_hand() -> None:
    assert of_four().spread == pytest.approx(SPREAD, abs=5e-7)


def test_counts_add_up_with_full_memory() -> None:
    """2 of 4, then 3 of 8: (5 + 1) / (12 + 2)."""
    selector = SpreadSelector(pool(1), 1, 0.1, 1.0)
    selector.observe([seen(0, 2.0, 4)])
    selector.observe([seen(0, 3.0, 8)])
    assert selector.spread == pytest.approx([0.494872], abs=5e-7)


def test_what_was_known_fades() -> None:
    """Memory one half: 0.5 (5, 1) + 0.5 (1, 1) + (0, 4) = (3, 5)."""
    selector = SpreadSelector(pool(1), 1, 0.1, 0.5)
    selector.observe([seen(0, 4.0, 4)])
    selector.observe([seen(0, 0.0, 4)])
    assert selector.known() == {"p/0": [3.0, 5.0]}
    assert selector.spread == pytest.approx([np.sqrt(15) / 8])


@pytest.mark.parametrize(
    ("tau", "shares"),
    [(0.1, [0.091407, 0.245325, 0.326536, 0.245325, 0.091407]), (0.05, None)],
)
def test_first_draws_are_a_softmax_of_the_spread(tau: float, shares: list[float] | None) -> None:
    weights = np.exp(np.array(SPREAD) / tau)
    law = weights / weights.sum()
    assert law.max() / law.min() == pytest.approx(3.5723 if shares else 12.7616, abs=2e-4)
    assert shares is None or law == pytest.approx(shares, abs=2e-6)
    selector = of_four(tau=tau)
    drawn = np.bincount([numbers(selector.select(1))[0] for _ in range(3000)], minlength=5) / 3000
    assert np.abs(drawn - law).max() < 4 * np.sqrt(0.25 / 3000)


def test_a_draw_of_three_has_the_law_of_successive_draws() -> None:
    """P(a, b, c) = w_a / W · w_b / (W - w_a) · w_c / (W - w_a - w_b), over all ordered triples."""
    selector, weights = of_four(), np.exp(np.array(SPREAD) / 0.1)
    triples = [tuple(numbers(selector.select(3))) for _ in range(3000)]
    for a, b, c in permutations(range(5), 3):
        left = weights.sum() - weights[a]
        law = weights[a] / weights.sum() * weights[b] / left * weights[c] / (left - weights[b])
        assert abs(triples.count((a, b, c)) / 3000 - law) < 5 * np.sqrt(law / 3000)


def test_shares_by_hand() -> None:
    """0, 1, 2 and 4 of 4, 32 rollouts: exactly 6.9466, 8.7869, 9.3199, 6.9466 by the posterior."""
    assert 32 * np.array(SPREAD)[[0, 1, 2, 4]] / np.sum(np.array(SPREAD)[[0, 1, 2, 4]]) == pytest.approx(
        [6.9466, 8.7869, 9.3199, 6.9466], abs=1e-4
    )
    assert Allocation(8, 2, 4.0).share(np.array(SPREAD)[[0, 1, 2, 4]]) == [7, 9, 9, 7]


def test_what_raw_frequencies_would_starve_keeps_the_least() -> None:
    raw = np.sqrt([0, 3 / 16, 1 / 4, 0])
    assert largest_remainders(raw, 32).tolist() == [0, 15, 17, 0]
    assert Allocation(8, 2, 4.0).share(raw) == [2, 14, 14, 2]


def test_nobody_has_more_than_the_most() -> None:
    """One prompt that spreads among seven: 8 of 32 at most, and the rest goes to those with the fewest."""
    assert Allocation(4, 2, 2.0).share(np.array([1.0, *[0.0] * 7])) == [8, 4, 4, 4, 3, 3, 3, 3]


def test_groups_without_any_spread_are_equal() -> None:
    assert Allocation(8, 2, 4.0).share(np.zeros(3)) == [8, 8, 8]
    assert Allocation(8, 2, 4.0).share(np.full(7, 0.3)) == [8] * 7


@given(st.lists(st.floats(0, 1), max_size=40), st.integers(2, 12), st.integers(2, 12), st.floats(1, 6))
def test_rollouts_always_add_up_within_their_limits(spread: list[float], mean: int, least: int, most: float) -> None:
    least = min(least, mean)
    shares = Allocation(mean, least, most).share(np.array(spread))
    assert sum(shares) == mean * len(spread)
    assert all(least <= share <= most * mean for share in shares)
    ordered = [share for _, share in sorted(zip(spread, shares, strict=True))]
    assert all(later >= earlier - 1 for earlier, later in pairwise(ordered)), "but for rounding"


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=20), st.integers(0, 200))
def test_whole_shares_are_within_one_of_the_exact_ones(weights: list[float], total: int) -> None:
    exact = total * np.array(weights) / sum(weights)
    whole = largest_remainders(np.array(weights), total)
    assert whole.sum() == total
    assert (np.abs(whole - exact) < 1 + 1e-6).all()


def test_every_draw_has_the_rollouts_of_its_prompts_and_refills_theirs() -> None:
    selector = cures(40)
    for count in (7, 40, 3, 100):
        picks = selector.select(count)
        assert len(picks) == count
        assert sum(pick.rollouts for pick in picks) == 8 * count
        selector.observe([seen(number, 8.0 * (number % 2)) for number in range(40)])


def test_solved_prompts_come_less_often_and_with_fewer_rollouts() -> None:
    selector = cures(40)
    for _ in range(3):
        selector.observe([seen(number, 8.0 if number < 20 else 4.0) for number in range(40)])
    picks = [pick for _ in range(50) for pick in selector.select(10)]
    solved = [pick for pick in picks if int(pick.prompt.id[2:]) < 20]
    assert len(solved) < 0.2 * len(picks)
    even = [pick for pick in picks if pick not in solved]
    assert np.mean([pick.rollouts for pick in solved]) < 7 < np.mean([pick.rollouts for pick in even])


def test_it_tells_how_unequal_groups_were() -> None:
    selector = cures(3)
    assert selector.metrics() == {}
    selector.observe([seen(0, 1.0, 5), seen(1, 1.0, 11), seen(2, 0.0, 0), seen(9, 1.0, 99)])
    assert selector.metrics() == {"select/group_min": 5, "select/group_max": 11}


def config(**sections: object) -> Config:
    return Config.model_validate({"data": {"train": "tasks:chain"}, "select": {"kind": "cures"}, **sections})


def test_from_a_config_over_two_pools() -> None:
    made = selector_of(config(rollout={"per_prompt": 4}), [(1.0, pool(30)[:10]), (2.0, pool(30)[10:])], note=print)
    picks = made.select(9)
    assert all(isinstance(pick, Pick) for pick in picks)
    assert sum(pick.rollouts for pick in picks if isinstance(pick, Pick)) == 36


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"label": {"kind": "care"}, "rollout": {"refill": 0}}, "know groups of rollout.per_prompt"),
        ({"rollout": {"per_prompt": 4}, "select": {"kind": "cures", "least": 5}}, "at most rollout.per_prompt"),
    ],
)
def test_what_cannot_work_is_refused(sections: dict[str, object], words: str) -> None:
    made = config(**sections)
    with pytest.raises(UserError, match=words):
        _check_sizes(made, made.select.least)  # type: ignore[union-attr]
