"""Precedence and brackets: ``9-4j3=`` is answered ``4-3=1;9-1=8;#8``, since the letter ``j`` binds tighter than ``-``.

Each letter is an operation with a precedence of its own: *tight* is worked before ``+`` and ``-``, *equal* in turn
with them from left to right, and *loose* after them. The tempting misreading is another precedence.
"""

import random
import re
from typing import Literal

from effrl.tasks.arithmetic import apply, canonical
from effrl.tasks.problem import Problem, Worked

__all__ = ["KINDS", "LEVELS", "READINGS", "canonical", "make"]

Precedence = Literal["tight", "equal", "loose"]

LEVELS: tuple[tuple[int, int, bool], ...] = ((3, 9, False), (3, 30, False), (4, 9, False), (4, 9, True), (4, 20, True))
"""(number of terms, largest term, whether two terms stand in brackets) of each level."""

READINGS: dict[str, tuple[str, Precedence, Precedence]] = {
    "i": ("+", "tight", "equal"),
    "j": ("-", "tight", "equal"),
    "k": ("~", "equal", "tight"),
    "l": ("-", "loose", "equal"),
    "m": ("~", "tight", "loose"),
    "n": ("-", "equal", "loose"),
    "o": ("~", "loose", "tight"),
    "p": ("+", "loose", "tight"),
}
"""Operation of each letter (``~`` takes the left from the right), right precedence, tempting precedence."""

KINDS = "".join(READINGS)
_RANK = {"tight": 2, "equal": 1, "loose": 0}
_TOKEN = re.compile(r"\d+|\D")


def make(rng: random.Random, level: int, kind: str) -> Problem:
    """Draw one problem of ``level`` (0 to 4) and ``kind`` (a letter of :data:`KINDS`)."""
    operation, *precedences = READINGS[kind]
    while True:
        question = _draw(rng, level, kind)
        right, misread = (_work(question, kind, operation, _RANK[precedence]) for precedence in precedences)
        if right.answer != misread.answer:
            return Problem(f"{question}=", kind, level, right, misread)


def _draw(rng: random.Random, level: int, kind: str) -> str:
    terms, largest, bracketed = LEVELS[level]
    operators = [rng.choice("--+") for _ in range(terms - 1)]  # under + alone, every precedence gives the same value
    operators[rng.randrange(terms - 1)] = kind
    words = [str(rng.randint(0, largest)) for _ in range(terms)]
    if bracketed:
        opening = rng.randrange(terms - 1)
        words[opening], words[opening + 1] = f"({words[opening]}", f"{words[opening + 1]})"
    return words[0] + "".join(f"{operator}{word}" for operator, word in zip(operators, words[1:], strict=True))


def _work(question: str, kind: str, operation: str, rank: int) -> Worked:
    """Reduce the bracket, then the rest; every reduction is a step."""
    tokens: list[str] = _TOKEN.findall(question)
    steps: list[str] = []
    if "(" in tokens:
        start, end = tokens.index("("), tokens.index(")")
        tokens[start : end + 1] = [_reduce(tokens[start + 1 : end], kind, operation, rank, steps)]
    answer = _reduce(tokens, kind, operation, rank, steps)
    return Worked(tuple(steps), answer)


def _reduce(tokens: list[str], kind: str, operation: str, rank: int, steps: list[str]) -> str:
    """Work the operation that binds tightest, the leftmost of equals, until one number is left."""
    while len(tokens) > 1:
        places = range(1, len(tokens), 2)
        place = max(places, key=lambda at: (rank if tokens[at] == kind else _RANK["equal"], -at))
        operator = operation if tokens[place] == kind else tokens[place]
        step, value = apply(int(tokens[place - 1]), operator, int(tokens[place + 1]))
        steps.append(step)
        tokens[place - 1 : place + 2] = [str(value)]
    return tokens[0]
