"""Ladders: last digits by a naive reading, every letter matters, and what a written solution decided is found in it."""

import random
import re
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effrl.tasks import ladder
from effrl.tasks.problem import Problem


def draw(seed: int) -> Problem:
    rng = random.Random(seed)
    return ladder.make(rng, rng.randrange(len(ladder.LEVELS)), rng.choice(ladder.KINDS))


def naive_answer(prompt: str, misread: str) -> str:
    """Python's own arithmetic without last digits, which are taken once at the end."""
    total = int(prompt[0])
    for operator, term in re.findall(r"(\D)(\d)", prompt[1:]):
        reading = ladder.READINGS[operator][operator in misread] if operator.isalpha() else f"a{operator}b"
        total = eval(reading, {"a": total, "b": int(term)})
    return str(total % 10)


def subsets(letters: str) -> list[str]:
    return [
        "".join(one for one, taken in zip(letters, bits, strict=True) if taken)
        for bits in product((0, 1), repeat=len(letters))
    ]


@pytest.mark.parametrize(
    ("misread", "text"),
    [
        ("", "q3-7=6;6+4=0;t0-1=9;9-5=4;#4"),
        ("q", "q7-3=4;4+4=8;t8-1=7;7-5=2;#2"),
        ("t", "q3-7=6;6+4=0;t1-0=1;1-5=6;#6"),
    ],
)
def test_ladders_by_hand(misread: str, text: str) -> None:
    assert ladder.work("7q3+4t1-5=", misread).text == text


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6))
def test_the_answer_is_right_only_if_every_letter_is(seed: int) -> None:
    problem = draw(seed)
    letters = ladder.letters(problem.prompt)
    steps, several = ladder.LEVELS[problem.level]
    assert len(problem.right.steps) == steps >= 8 and len(set(letters)) == len(letters) == several
    for misread in subsets(letters):
        answer = ladder.work(problem.prompt, misread).answer
        assert answer == naive_answer(problem.prompt, misread)
        assert (answer == problem.answer) is (misread == "")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6))
def test_decisions_are_found_in_every_reading(seed: int) -> None:
    """Each stands inside of its own step, behind its letter, and says which reading was taken."""
    problem = draw(seed)
    for misread in subsets(ladder.letters(problem.prompt)):
        text = ladder.work(problem.prompt, misread).text
        found = ladder.decisions(problem.prompt, text)
        assert all(decision.right is (decision.letter not in misread) for decision in found)
        assert all(0 < decision.place - text.index(decision.letter) <= 3 for decision in found)
        assert {*misread[:1]} <= {decision.letter for decision in found}, "the first misreading changed the answer"


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6))
def test_the_first_wrong_decision_is_where_a_solution_leaves_the_right_one(seed: int) -> None:
    problem = draw(seed)
    for misread in subsets(ladder.letters(problem.prompt))[1:]:
        text = ladder.work(problem.prompt, misread).text
        leaves = next(at for at, (one, other) in enumerate(zip(text, problem.right.text, strict=False)) if one != other)
        first = next(one for one in ladder.decisions(problem.prompt, text) if not one.right)
        assert first.place == leaves


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("q3-7=6;6+4=0;t0-1=9;#9", [("q", 1, True), ("t", 14, True)]),
        ("q7-3=4;4+4=8;t8-1=7;#7", [("q", 1, False), ("t", 14, True)]),  # rightly after it went wrong
        ("q3-7=6;6+4=1;t1-1=0;#0", [("q", 1, True)]),  # a slip: both readings of 1 and 1 look alike
        ("q9-7=2;2+4=6;t", [("q", 1, None)]),  # neither reading; cut off before it decides
        ("q3-7=;6+4=0;t0-1=9;#9", [("q", 1, True), ("t", 13, True)]),
        ("q3-7=6;6+4=;t0-1=9;#9", [("q", 1, True)]),  # the value that the letter would be read with is missing
        ("", []),
    ],
)
def test_decisions_by_hand(written: str, found: list[tuple[str, int, bool | None]]) -> None:
    decided = ladder.decisions("7q3+4t1=", written)
    assert [(one.letter, one.place, one.right) for one in decided] == found
