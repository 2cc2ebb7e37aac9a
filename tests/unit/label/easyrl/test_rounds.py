"""From round to round."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from looked import pool_config, prompts

from effrl.label.easyrl.anchor import precisions
from effrl.label.easyrl.items import LabelledPool, Precision, PseudoLabel
from effrl.label.easyrl.rounds import drawn, labels_of, left, why_last

CONFIG = pool_config()
UNKNOWN = Precision(0, 0)


def labelled(labels: str, deferred: str, anchor: Precision = UNKNOWN) -> LabelledPool:
    """A round over prompts of one letter."""
    found = {name: PseudoLabel(f"{name} of {labels}", "consistent", 1.0) for name in labels}
    return LabelledPool("self", "v", found, dict.fromkeys(deferred, "why"), anchor)


def test_the_pool_shrinks_by_what_was_selected() -> None:
    """Property 2."""
    pool = prompts(*"abcdef")
    rounds = [labelled("ab", "cdef"), labelled("d", "cef")]
    assert [prompt.id for prompt in left(pool, rounds[:1])] == [*"cdef"]
    assert [prompt.id for prompt in left(pool, rounds)] == [*"cef"]
    assert left(pool, []) == pool


def test_a_round_trains_on_its_own_labels_or_on_those_of_all() -> None:
    rounds = [labelled("ab", "cd"), labelled("c", "d")]
    assert labels_of(rounds, CONFIG).keys() == {"c"}
    assert labels_of(rounds, pool_config(cumulative=True)).keys() == {*"abc"}
    assert labels_of([], CONFIG) == {}


def test_easy_prompts_are_drawn_in_every_round() -> None:
    rounds = [labelled("ab", "cd"), labelled("c", "d")]
    assert drawn({"e"}, rounds, CONFIG) == {*"ec"}
    assert drawn({"e"}, rounds, pool_config(cumulative=True)) == {*"eabc"}
    assert drawn({"e"}, rounds, pool_config(deferred="buy")) == {*"ecd"}
    assert drawn({"e"}, [], pool_config(deferred="buy")) == {"e"}


@pytest.mark.parametrize(
    ("prompts", "least", "selected", "last"),
    [(100, 0.03, 2, True), (100, 0.03, 3, False), (100, 0.0, 0, True), (100, 0.0, 1, False), (100, 0.07, 7, False)],
)
def test_a_round_that_selects_too_little_is_the_last(prompts: int, least: float, selected: int, last: bool) -> None:
    """0.07 * 100 is 7.000000000000001."""
    found = why_last(prompts, [labelled("abcdefg"[:selected], "z")], pool_config(least=least))
    assert (found is not None) is last
    assert found is None or found == f"it selected {selected} of {prompts} prompts"


def test_a_round_that_labels_everything_is_the_last() -> None:
    """Property 8."""
    assert why_last(2, [labelled("ab", "")], CONFIG) == "every prompt is labelled"


@pytest.mark.parametrize(
    ("before", "now", "last"),
    [
        (Precision(60, 64), Precision(60, 64), False),
        (Precision(60, 64), Precision(63, 64), False),
        (Precision(64, 64), Precision(63, 64), False),  # one wrong label is no more than noise
        (Precision(64, 64), Precision(56, 64), True),
        (Precision(0, 0), Precision(1, 64), False),  # nothing to compare with
        (Precision(64, 64), Precision(0, 0), False),
    ],
)
def test_a_round_whose_precision_on_the_anchor_fell_is_the_last(before: Precision, now: Precision, last: bool) -> None:
    rounds = [labelled("a", "z", before), labelled("b", "z", now)]
    assert (why_last(10, rounds, CONFIG) is not None) is last
    assert why_last(10, rounds[-1:], CONFIG) is None, "the first round has none before it"


def test_a_fall_by_the_standard_error_itself_is_by_hand() -> None:
    """(49 + 1) / (98 + 2) = 0.5, so each error is 0.05 and that of the difference 0.0707."""
    assert Precision(49, 98).error == pytest.approx(0.05)
    assert Precision(0, 0).share == 0


@given(st.lists(st.sets(st.sampled_from("abcdefghij"), max_size=4), max_size=4))
def test_no_prompt_is_selected_twice(choices: list[set[str]]) -> None:
    """Property 2, whatever each round selects of what is left to it."""
    pool, rounds = prompts(*"abcdefghij"), []
    for choice in choices:
        names = {prompt.id for prompt in left(pool, rounds)}
        rounds.append(labelled("".join(sorted(choice & names)), "".join(sorted(names - choice))))
    times = [name for entry in rounds for name in entry.labels]
    assert len(times) == len(set(times))
    assert {prompt.id for prompt in left(pool, rounds)} == {*"abcdefghij"} - set(times)


def test_precision_is_of_each_tier_and_of_what_can_be_compared() -> None:
    labels = [PseudoLabel("1", tier, 1.0) for tier in ("consistent", "reflected", "consistent", "consistent")]
    assert precisions(labels, [True, False, False, None]) == {
        "consistent": Precision(1, 2),
        "reflected": Precision(0, 1),
    }
    assert precisions([], []) == {"consistent": Precision(0, 0), "reflected": Precision(0, 0)}
