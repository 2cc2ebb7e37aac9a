"""Answers of words compare as text, label and answer alike; what is mathematics stays math-verify's."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effrl.reward import verifiers
from effrl.reward.words import spelled

WRITTEN = (
    "{}",
    "\\text{{{}}}",
    "\\textbf{{\\text{{{}}}}}",
    "\\mathrm{{{}}}",
    "${}$",
    '"{}"',
    "``{}''",
    "({})",
    "{}.",
    " {} ",
)
"""Ways to write a word, none of which changes what it says."""


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("act", "cat"),
        ("BAD", "ABD"),
        ("more", "Rome"),
        ("vqa", "qav"),
        ("on", "no"),
        ("VI", "IV"),
        ("tee", "ete"),
        ("f3N", "Nf3"),
        ("HO2", "H2O"),
        ("York New", "New York"),
        ("now here", "nowhere"),
        ("act, god", "cat, dog"),
        ("(act, god)", "(cat, dog)"),
        ("a cat", "cat"),
        ("llew-known", "well-known"),
        ("кот", "ток"),
    ],
)
def test_an_anagram_is_another_word(answer: str, label: str) -> None:
    for one in WRITTEN:
        for other in WRITTEN:
            assert not verifiers.equivalent(one.format(answer), other.format(label)), (one, other)


@pytest.mark.parametrize("word", ["cat", "New York", "Rome", "IV", "H2O", "xy", "yes", "true", "well-known", "кот"])
def test_a_word_is_itself_however_it_is_written(word: str) -> None:
    for one in WRITTEN:
        for other in WRITTEN:
            assert verifiers.equivalent(one.format(word), other.format(word.capitalize())), (one, other)


@given(
    st.lists(st.sampled_from("abcdeilnorst"), min_size=2, max_size=8).flatmap(
        lambda w: st.tuples(*[st.permutations(w)] * 2)
    )
)
@settings(deadline=None)
def test_permuted_letters_are_equal_only_where_they_spell_the_same(pair: tuple[list[str], list[str]]) -> None:
    one, other = map("".join, pair)
    assert verifiers.equivalent(one, other) == (one == other)


@pytest.mark.parametrize(
    ("answer", "label", "equal"),
    [
        ("dog, cat", "cat, dog", True),
        ("Bob, Ann and Cy", "Ann, Bob, Cy", True),
        ("\\{dog, cat\\}", "\\{cat, dog\\}", True),
        ("(dog, cat)", "(cat, dog)", False),
        ("(cat,dog)", "(cat, dog)", True),
        ("(cat, dog), (act, god)", "(cat, god), (act, dog)", False),
        ("cat or act", "cat", False),
    ],
)
def test_lists_of_words_have_an_order_within_brackets_only(answer: str, label: str, equal: bool) -> None:
    assert verifiers.equivalent(answer, label) == verifiers.equivalent(label, answer) == equal


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("yx", "x \\cdot y"),  # one of the two says that it is a product
        ("y x", "xy"),
        ("2yx", "2xy"),
        ("b + a", "a + b"),
        ("2 + ba", "ab + 2"),
        ("r\\pi", "\\pi r"),
        ("5 apples", "5"),
        ("5\\text{ cats}", "5"),
        ("infinity", "\\infty"),
        ("alpha", "\\alpha"),
        ("sqrt(8)", "2\\sqrt{2}"),
        ("y and x", "x and y"),
        ("\\text{(B)}", "B"),
        ("x", "X"),
    ],
)
def test_what_is_mathematics_stays_mathematics(answer: str, label: str) -> None:
    assert verifiers.equivalent(answer, label)
    assert verifiers.equivalent(label, answer)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("\\text{New  York}", "new york"),
        ("c\\,at", "c at"),
        ("the answer is 6", "the answer is 6"),
        ("cat, 5", ("5", "cat")),
        ("X-ray", "x-ray"),
        ("ab-c", None),
        ("x", None),
        ("x y", None),
        ("A, B", None),
        ("A and B", None),
        ("sin(x)", None),
        ("5 apples", None),
        ("1,000", None),
        ("\\mathrm{d}x", None),
        ("and", None),
        ("", None),
    ],
)
def test_what_words_say(answer: str, said: str | tuple[str, ...] | None) -> None:
    assert spelled(answer) == said


@pytest.mark.parametrize(
    "answer",
    ["a" * 100_000 + "+", "a1" * 100_000 + "+", "\\text{" * 20_000 + "}" * 20_000, "ab and " * 30_000, "a-" * 100_000],
)
def test_degenerate_answers_take_no_time(answer: str) -> None:
    began = time.perf_counter()
    spelled(answer)
    assert time.perf_counter() - began < 2


def test_an_anagram_scores_nothing() -> None:
    assert verifiers.math("\\boxed{act}", "cat", {}).outcome == 0
    assert verifiers.math("\\boxed{cat}", "It purrs.\n#### cat", {}).outcome == 1
