"""Who gets a pseudo-label: the numbers are those of the notes on EasyRL, (c) 2 to 7."""

from math import inf, isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st
from looked import doubted, looked, lost, pool_config, thought
from reads import answered

from effrl.label.easyrl.items import ENGINE, TOO_LONG, PoolLook, PseudoLabel, SecondLook
from effrl.label.easyrl.tiers import (
    NO_ANSWER,
    NOT_ASKED,
    NOT_TRUSTED,
    UNCERTAIN,
    decide,
    threshold,
    to_reflect,
    uncertainty,
)

NLL = pool_config()
ENTROPY = pool_config(uncertainty="answer_entropy")


def selected(looks: list[PoolLook], **fields: object) -> list[str]:
    config = pool_config(**fields)
    limit = threshold(looks, config)
    return [look.prompt for look in looks if isinstance(decide(look, config, limit, True), PseudoLabel)]


@pytest.mark.parametrize(
    ("answers", "consistent"),
    [
        (("1/2", "0.5", "\\frac12"), True),
        (("1/2", "0.5", None), False),
        ((None, None), False),
        (("7",), True),
        (("7", "8"), False),
    ],
)
def test_answers_are_consistent_by_value_if_none_is_missing(answers: tuple[str | None, ...], consistent: bool) -> None:
    """Property 3."""
    assert looked("p", *answers).is_consistent is consistent


def test_a_consistent_prompt_gets_its_first_answer() -> None:
    assert decide(looked("p", "1/2", "0.5"), NLL, -inf, True) == PseudoLabel("1/2", "consistent", 1.0, None, "so 1/2")


def test_consistent_answers_wait_in_a_round_that_does_not_trust_them() -> None:
    look = looked("p", "7", "7")
    assert decide(look, NLL, inf, False) == NOT_TRUSTED
    assert to_reflect([look], NLL, inf) == [], "they are not asked once more either"


def test_the_quantile_is_interpolated_and_what_is_selected_lies_strictly_below() -> None:
    """Property 4."""
    looks = doubted([n / 10 for n in range(1, 11)])
    assert threshold(looks, NLL) == pytest.approx(0.37)
    assert selected(looks) == ["u0", "u1", "u2"]
    assert threshold(doubted([0.1, 0.2]), NLL) == pytest.approx(0.13)
    assert selected(doubted([0.1, 0.2])) == ["u0"]


@pytest.mark.parametrize("nlls", [[0.4], [0.1] * 7, []])
def test_one_uncertainty_or_equal_ones_select_none(nlls: list[float]) -> None:
    """Property 4."""
    assert selected(doubted(nlls)) == []


def test_quantiles_of_0_and_1() -> None:
    """Property 4."""
    looks = doubted([0.3, 0.1, 0.2])
    assert selected(looks, quantile=0) == []
    assert selected(looks, quantile=1) == ["u1", "u2"]


def test_the_cap_holds_besides_the_quantile() -> None:
    looks = doubted([n / 10 for n in range(1, 11)])
    assert selected(looks, cap=0.2) == ["u0", "u1"], "it may be reached, and not exceeded"
    assert selected(looks, cap=5.0) == selected(looks)


@pytest.mark.parametrize(
    ("answers", "nats"), [("ab", 0.6931), ("aaab", 0.5623), ("aabc", 1.0397), ("aaaa", 0.0), ("a_bb", 0.6365)]
)
def test_entropy_of_answers(answers: str, nats: float) -> None:
    """Property 5; a missing answer is none of them."""
    look = looked("p", *(None if letter == "_" else letter for letter in answers))
    assert uncertainty(look, "answer_entropy") == pytest.approx(nats, abs=5e-5)


def test_a_prompt_without_answers_is_not_certain_of_them() -> None:
    assert uncertainty(looked("p", None, None), "answer_entropy") == inf


def test_a_reflection_without_tokens_is_deferred_and_poisons_no_quantile() -> None:
    """Property 6."""
    looks = doubted([0.1, None, 0.2])
    assert uncertainty(looks[1], "reflection_nll") == inf
    assert isfinite(threshold(looks, NLL)) and threshold(looks, NLL) == threshold(doubted([0.1, 0.2]), NLL)
    assert decide(looks[1], NLL, inf, True) == UNCERTAIN


def test_the_uncertainty_is_the_mean_over_tokens() -> None:
    """Property 6."""
    read = answered("p", "7")
    (rollout,) = read.group.rollouts
    object.__setattr__(rollout, "token_ids", rollout.token_ids.repeat(2))
    object.__setattr__(rollout, "logprobs", rollout.logprobs.repeat(2) - [0.1, 0.3])
    assert SecondLook.of(read).nll == pytest.approx(0.2)
    assert SecondLook.of(lost(read, 0)) == SecondLook("7", None, lost=ENGINE)


def test_a_reflection_without_an_answer_falls_back_to_the_most_voted_one() -> None:
    """Property 7."""
    look = looked("p", None, "7", second=thought(None, 0.1))
    assert decide(look, NLL, inf, True) == PseudoLabel("7", "reflected", 0.5, 0.1, "so 7")
    most = looked("p", "8", "7", "7", second=thought(None, 0.1))
    assert decide(most, NLL, inf, True) == PseudoLabel("7", "reflected", 2 / 3, 0.1, "so 7")


def test_a_prompt_without_any_answer_is_dropped() -> None:
    """Property 7."""
    assert decide(looked("p", None, None, second=thought(None, 0.1)), NLL, inf, True) == NO_ANSWER


def test_the_reflection_s_answer_is_the_label_though_nobody_voted_for_it() -> None:
    look = looked("p", "7", "8", second=thought("9", 0.1))
    assert decide(look, NLL, inf, True) == PseudoLabel("9", "reflected", 0.0, 0.1, "thus 9")


def test_with_the_entropy_only_what_will_be_selected_is_asked_once_more() -> None:
    looks = [looked("a", "1", "1", "1", "2"), looked("b", "1", "1", "2", "2"), looked("c", *"1234")]
    limit = threshold(looks, ENTROPY)
    assert [look.prompt for look in to_reflect(looks, ENTROPY, limit)] == ["a"]
    assert [look.prompt for look in to_reflect(looks, NLL, -inf)] == ["a", "b", "c"]


def test_nobody_reflects_without_a_reflection() -> None:
    config, look = pool_config(reflection=None), looked("p", "1", "2")
    assert to_reflect([look], config, inf) == []
    assert decide(look, config, inf, True) == NOT_ASKED


def test_a_reflection_that_is_too_long_defers_its_prompt() -> None:
    assert decide(looked("p", "1", "2", second=SecondLook(None, None, lost=TOO_LONG)), NLL, inf, True) == TOO_LONG
    assert decide(looked("p", "1", "2", second=SecondLook(None, None, lost=TOO_LONG)), ENTROPY, inf, True) == TOO_LONG


def test_rollouts_that_the_engine_failed_are_no_missing_answers() -> None:
    look = PoolLook.of(lost(answered("p", "7", "7", None), 2))
    assert (look.answers, look.clusters, look.failed) == (("7", "7"), (0, 0), 1)
    assert look.is_consistent


def test_with_half_of_its_rollouts_a_prompt_counts() -> None:
    assert PoolLook.of(lost(answered("p", "7", None), 1)).is_consistent


def test_with_fewer_than_half_of_its_rollouts_a_prompt_is_deferred() -> None:
    look = PoolLook.of(lost(answered("p", "7", None, None), 1, 2))
    assert decide(look, NLL, inf, True) == ENGINE
    assert to_reflect([look], NLL, inf) == []


@pytest.mark.parametrize(
    ("answers", "candidates"),
    [(("a", "b", "b"), ("b", "a")), (("a", "b", None), ("a", "b")), (("1/2", "0.5", "3"), ("1/2", "3")), ((None,), ())],
)
def test_candidates_are_distinct_by_value_and_the_most_voted_come_first(
    answers: tuple[str | None, ...], candidates: tuple[str, ...]
) -> None:
    assert looked("p", *answers).candidates == candidates


_answers = st.lists(st.sampled_from(["1", "2", "3", None]), min_size=2, max_size=4)
_second = st.builds(thought, st.sampled_from(["1", "9", None]), st.one_of(st.none(), st.floats(0, 5)))


@given(st.lists(st.tuples(_answers, _second), max_size=12), st.booleans(), st.sampled_from([NLL, ENTROPY]))
def test_every_prompt_is_of_one_tier(rows: list[tuple[list[str | None], SecondLook]], trusted: bool, config) -> None:
    """Property 2."""
    looks = [looked(f"p{n}", *answers, second=second) for n, (answers, second) in enumerate(rows)]
    limit = threshold(looks, config)
    for look in looks:
        found = decide(look, config, limit, trusted)
        if isinstance(found, str):
            assert found and not (look.is_consistent and trusted)
        else:
            assert (found.tier == "consistent") == look.is_consistent
            assert found.tier == "consistent" or uncertainty(look, config.uncertainty) < limit
            assert found.answer
