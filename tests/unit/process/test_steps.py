"""Where steps end, what they are worth and what a solution is: by hand, and against cutting the text itself."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.models import TINY
from effrl.process.steps import pieces_of, solution_score, step_ends, step_rewards
from effrl.types import Float32

TEXTS = st.lists(st.sampled_from(["1", "+2", ";", ";;", " ;a", "b;", "\n", " ", "", ";\n", "=3;4"]), max_size=12)


def ends(separator: str, *pieces: str) -> list[int]:
    return np.flatnonzero(step_ends(pieces, separator)).tolist()


def values(*rewards: float) -> Float32:
    return np.array(rewards, np.float32)


# --- where a step ends


@pytest.mark.parametrize(
    ("separator", "pieces", "expected"),
    [
        ("\n", ("1", "+", "1", "\n", "=", "2"), [3, 5]),
        ("\n", ("1+1", "\n", "=2", "\n"), [1, 3]),
        (";", ("12+34=46", ";", "#", "46", ""), [1, 4]),  # the end of the sequence has no text
        ("\n", ("a", "\n", "\n", "b"), [2, 3]),  # an empty line is no step
        ("\n\n", ("a", "\n", "b", "\n", "\n", "c"), [4, 5]),  # a separator of two tokens ends with the second
        ("\n\n", ("a", ".\n", "\nb", "c"), [2, 3]),  # and where that has more text, with it all the same
        (";", ("a;b", "c", ";d;e"), [0, 2]),  # inside of a token, and twice in one
        ("\n", ("\n", "\n", "a", "\n", "b"), [3, 4]),  # nothing before the first: it begins the first step
        ("\n", ("a", "\n", "  ", "\n", "b"), [3, 4]),  # blanks are no step
        ("\n", ("a", "\n", "", "\n", ""), [4]),  # nor is what follows the last separator
        ("aa", ("a", "a", "a", "x", "a", "a"), [5]),  # occurrences do not overlap: "ax" alone is between two
        ("\n", ("a", "b"), [1]),
        ("\n", ("\n", " "), [1]),
        ("\n", ("",), [0]),
        ("\n", (), []),
    ],
)
def test_steps_by_hand(separator: str, pieces: Sequence[str], expected: list[int]) -> None:
    assert ends(separator, *pieces) == expected


@given(TEXTS)
def test_the_last_token_ends_the_last_step(pieces: list[str]) -> None:
    assert step_ends(pieces, ";").tolist()[-1:] == [True] * bool(pieces)


@given(st.lists(st.sampled_from("12+=#;\n "), max_size=20).map("".join), st.sampled_from(["\n", ";"]))
def test_of_single_characters_they_are_the_cuts_of_the_text(text: str, separator: str) -> None:
    """Whoever cuts the text itself finds the same steps, and as many of them."""
    found = np.split(np.array(list(text)), np.flatnonzero(step_ends(list(text), separator))[:-1] + 1)
    steps = ["".join(step).replace(separator, "").strip() for step in found]
    parts = [part.strip() for part in text.split(separator) if part.strip()]
    assert steps == parts or (parts, steps) == ([], [""])


@given(TEXTS)
def test_every_end_but_the_last_completes_a_separator(pieces: list[str]) -> None:
    token_of = [number for number, piece in enumerate(pieces) for _ in piece]
    completing = {token_of[place] for place, character in enumerate("".join(pieces)) if character == ";"}
    assert set(ends(";", *pieces)) - {len(pieces) - 1} <= completing


# --- what steps are worth


def test_step_rewards_by_hand() -> None:
    rewards = step_rewards(values(0.5, -0.2, 0.1, 0.3, -1.0), np.array([False, True, True, False, True]))
    assert rewards.tolist() == pytest.approx([0.3, 0.1, -0.7], abs=1e-6) and rewards.dtype == np.float64
    assert step_rewards(values(), np.zeros(0, bool)).tolist() == []


@given(TEXTS, st.data())
def test_the_rewards_of_the_steps_are_those_of_the_tokens(pieces: list[str], data: st.DataObject) -> None:
    """Against a loop over the tokens, and in sum."""
    numbers = st.floats(-10, 10, width=32)
    tokens = data.draw(st.lists(numbers, min_size=len(pieces), max_size=len(pieces)))
    at = step_ends(pieces, ";")
    expected, step = [], 0.0
    for reward, end in zip(tokens, at, strict=True):
        step += reward
        if end:
            expected.append(step)
            step = 0.0
    found = step_rewards(values(*tokens), at)
    assert found.tolist() == pytest.approx(expected, abs=1e-9)
    assert float(found.sum()) == pytest.approx(math.fsum(tokens), abs=1e-9)


def test_a_solution_is_worth_its_worst_step() -> None:
    """The steps are 0.3 and 0.1; the better one cannot pay for it, nor can a step more."""
    pieces = ["1+1", "\n", "#2"]
    assert solution_score(values(0.5, -0.2, 0.1), pieces) == pytest.approx(0.1)
    assert solution_score(values(9.5, -0.2, 0.1), pieces) == pytest.approx(0.1)
    assert solution_score(values(0.5, -0.2, 0.1, 7.0), [*pieces, "\n"]) == pytest.approx(0.3)
    assert solution_score(values(0.5, -0.2, 0.1), ["1+1", ";", "#2"]) == pytest.approx(0.4), "one step"


def test_a_newline_of_its_own_is_not_the_worst_step() -> None:
    assert solution_score(values(0.5, 0.1, -0.3, 0.4), ["a", "\n", "\n", "b"]) == pytest.approx(0.3)


@pytest.mark.parametrize("pieces", [[], [""], [" ", "\n", ""]])
def test_a_solution_without_text_is_worth_nothing(pieces: list[str]) -> None:
    assert solution_score(values(*[1.0] * len(pieces)), pieces) == -math.inf


@given(st.permutations([(0.5, -0.25), (1.0,), (-0.75, 0.5), (0.125, 0.125, 0.5)]))
def test_the_order_of_the_steps_does_not_matter(steps: list[tuple[float, ...]]) -> None:
    """All sums are exact: the worst is -0.75 + 0.5, wherever it stands."""
    pieces = [piece for step in steps for piece in ["x"] * (len(step) - 1) + ["y;"]]
    tokens = [reward for step in steps for reward in step]
    assert solution_score(values(*tokens), pieces, ";") == -0.25


@given(TEXTS, st.data())
def test_a_reward_that_falls_never_makes_a_solution_better(pieces: list[str], data: st.DataObject) -> None:
    pieces = [*pieces, "x"]
    numbers = st.floats(-10, 10, width=32)
    tokens = data.draw(st.lists(numbers, min_size=len(pieces), max_size=len(pieces)))
    lowered = list(tokens)
    lowered[data.draw(st.integers(0, len(tokens) - 1))] -= 1.0
    assert solution_score(values(*lowered), pieces, ";") <= solution_score(values(*tokens), pieces, ";") + 1e-5


# --- the texts of tokens


def in_bytes(ids: Sequence[int]) -> str:
    """A decoder of bytes, one token each."""
    return bytes(ids).decode(errors="replace")


def in_words(ids: Sequence[int]) -> str:
    """A decoder that drops the first word's blank, as SentencePiece does."""
    return "".join([" one", " two", ",", ""][token] for token in ids).removeprefix(" ")


def test_pieces_make_the_text() -> None:
    assert pieces_of([0, 2, 1, 1, 3], in_words) == ["one", ",", " two", " two", ""]
    assert pieces_of([], in_words) == []


def test_a_character_of_several_tokens_is_added_by_the_last() -> None:
    assert pieces_of(list("a→b".encode()), in_bytes) == ["a", "", "", "→", "b"]
    assert pieces_of([97, 0xE2, 97], in_bytes) == ["a", "", "\N{REPLACEMENT CHARACTER}a"], "a broken one"
    assert "".join(pieces_of([0xE2] * 9, in_bytes)) == "\N{REPLACEMENT CHARACTER}" * 9
    assert pieces_of([97, 0xE2, 0x86], in_bytes) == ["a", "", "\N{REPLACEMENT CHARACTER}"], "one that is cut off"


@given(st.text(max_size=30))
def test_pieces_of_any_text_make_it(text: str) -> None:
    ids = list(text.encode())
    pieces = pieces_of(ids, in_bytes)
    assert "".join(pieces) == text and len(pieces) == len(ids)


def test_pieces_of_a_real_tokenizer() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(TINY)
    ids = [*tokenizer.encode("12+34=46;#46", add_special_tokens=False), tokenizer.eos_token_id]
    pieces = pieces_of(ids, lambda some: str(tokenizer.decode(some, skip_special_tokens=True)))
    assert "".join(pieces) == "12+34=46;#46" and pieces[-1] == "" and ends(";", *pieces) == [8, 12]
