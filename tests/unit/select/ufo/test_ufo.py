"""UFO-RL: the paper's numbers, a second implementation, and what the choice may not depend on."""

import math
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.select.ufo.zone import agreement, certainty, kept, middle, sampled_rate, scores, zone

LOGPROBS = ([-0.1, -0.3], [-2.0], [-0.5, -0.5, -0.5], [-1.2, -0.8])
certainties = st.lists(st.floats(0, 1), min_size=1, max_size=50)


def test_a_pool_of_four_by_hand() -> None:
    s = np.array([certainty(row) for row in LOGPROBS])
    np.testing.assert_allclose(s, [0.818731, 0.135335, 0.606531, 0.367879], atol=5e-7)
    assert middle(s, "mean") == pytest.approx(0.482119, abs=5e-7)
    np.testing.assert_allclose(scores(s), [0.886693, 0.879741, 0.984522, 0.986949], atol=5e-7)
    assert zone(s, 1.0) == [3, 2, 0, 1]


@pytest.mark.parametrize(("prompts", "expected"), [(7473, 747), (9, 1), (10, 1), (19, 1), (20, 2), (1, 1)])
def test_a_tenth_is_rounded_down_but_never_to_nothing(prompts: int, expected: int) -> None:
    assert kept(prompts, 0.1) == expected


@given(st.integers(1, 100), st.integers(0, 100))
def test_a_ratio_in_whole_percent_is_exact(prompts: int, percent: int) -> None:
    """0.29 x 100 is 28.999999999999996."""
    assert kept(prompts, percent / 100) == max(1, prompts * percent // 100)


# --- one prompt


@given(st.lists(st.floats(-20, 0), min_size=1, max_size=12), st.integers(1, 5))
def test_certainty_is_the_geometric_mean_and_does_not_know_the_length(row: list[float], times: int) -> None:
    product = math.prod(map(math.exp, row)) ** (1 / len(row))
    assert certainty(row) == pytest.approx(product, rel=1e-9)
    assert certainty(row * times) == pytest.approx(certainty(row), rel=1e-12)


def test_long_unlikely_targets_do_not_underflow() -> None:
    """The product of 4,000 probabilities of e^-5 is 0 in any float; their geometric mean is e^-5."""
    assert certainty([-5.0] * 4000) == pytest.approx(math.exp(-5))


def test_a_token_s_log_prob_changes_its_own_term_only() -> None:
    row, changed = [-0.2, -1.0, -0.4], [-0.2, -1.0, -3.4]
    assert certainty(changed) == pytest.approx(certainty(row) * math.exp(-3 / 3))


def test_impossible_and_sure_tokens() -> None:
    assert certainty([-0.1, -math.inf]) == 0.0
    assert certainty([3e-8, 0.0]) == 1.0


@pytest.mark.parametrize("row", [[], [math.nan], [-1.0, math.nan]])
def test_nothing_and_no_number_are_refused(row: list[float]) -> None:
    with pytest.raises(ValueError, match=r"without tokens|not a number"):
        certainty(row)


# --- a pool


@given(certainties, st.sampled_from([0.1, 0.3, 1.0]))
def test_the_zone_is_the_head_of_a_stable_sort_by_distance(values: list[float], ratio: float) -> None:
    mean = math.fsum(values) / len(values)
    order = sorted(range(len(values)), key=lambda index: abs(values[index] - mean))
    assert zone(np.array(values), ratio) == order[: max(1, int(ratio * len(values) + 1e-9))]


@given(certainties)
def test_scores_are_in_range_and_order_as_the_zone_does(values: list[float]) -> None:
    found = scores(np.array(values))
    assert ((found > 0) & (found <= 1)).all()
    ordered = found[zone(np.array(values), 1.0)]
    assert (np.diff(ordered) <= 1e-15).all()
    assert found[np.array(values) == middle(np.array(values), "mean")].tolist().count(1.0) == values.count(
        fmean(values)
    )


def test_near_the_middle_the_score_rounds_and_the_zone_does_not() -> None:
    s = np.array([0.5 + 3e-9, 0.5 - 2e-9, 0.5 + 1e-9, 0.5 - 2e-9])
    assert set(scores(s)) == {1.0}
    assert zone(s, 0.25) == [2]


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("center", ["mean", "median"])
def test_all_equal_keeps_the_order_of_the_pool(value: float, center: str) -> None:
    assert zone(np.full(30, value), 0.1, center) == [0, 1, 2]  # type: ignore[arg-type]


@given(certainties, st.randoms(use_true_random=False))
def test_the_middle_does_not_depend_on_the_order(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for center in ("mean", "median"):
        assert middle(np.array(values), center) == middle(np.array(shuffled), center)  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=40, unique=True), st.randoms(use_true_random=False))
def test_a_permuted_pool_has_the_permuted_zone(numerators: list[int], random: object) -> None:
    values = np.array(numerators) / 10**6
    distances = np.abs(values - middle(values, "mean"))
    chosen = zone(values, 0.5)
    tied = np.isclose(distances[:, None], distances).sum(1) > 1
    order = list(range(len(values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    again = [order[index] for index in zone(values[order], 0.5)]
    assert {index for index in chosen if not tied[index]} == {index for index in again if not tied[index]}


def test_of_a_skewed_pool_mean_and_median_find_different_zones() -> None:
    """Eight prompts near 1 and two near 0: the mean lies where none is, the median among the eight."""
    s = np.array([0.9, 0.91, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.02, 0.01])
    assert zone(s, 0.1) == [0]
    assert {*zone(s, 0.2, "median")} == {2, 3}


@pytest.mark.parametrize("wrong", [math.nan, -0.1, 1.1])
def test_what_is_no_certainty_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="certainty 1 is"):
        zone(np.array([0.5, wrong]), 0.1)
    with pytest.raises(ValueError, match="at least one"):
        zone(np.array([]), 0.1)


# --- the estimate that it replaces


def test_sampled_rate_leaves_out_what_was_not_scored() -> None:
    assert sampled_rate([1.0, None, 0.0, 0.0, 1.0]) == 0.5
    with pytest.raises(ValueError, match="no rollout"):
        sampled_rate([None, None])


def test_agreement_of_a_perfect_and_of_an_unrelated_score() -> None:
    random = np.random.default_rng(1)
    rates = random.random(2000)
    same = agreement(rates, rates, 0.1)
    assert (same.pearson, same.spearman, same.overlap) == (pytest.approx(1), pytest.approx(1), 1.0)
    bent = agreement(rates**3, rates, 0.1)
    assert bent.spearman == pytest.approx(1)
    assert bent.pearson < 0.95
    assert bent.overlap < 0.7, "another scale, another middle"
    unrelated = agreement(random.random(2000), rates, 0.1)
    assert abs(unrelated.spearman) < 0.1
    assert unrelated.overlap < 0.2
