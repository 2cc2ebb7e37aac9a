"""Chained arithmetic, worked from left to right: ``7a5-3=`` is answered ``5-7=-2;-2-3=-5;#-5``.

There is no precedence: each operation applies to the value so far. One operation of a problem is a letter, the kind.
"""

import random
import re

from effrl.tasks.arithmetic import apply, canonical
from effrl.tasks.problem import Problem, Worked

__all__ = ["KINDS", "LEVELS", "READINGS", "canonical", "make"]

LEVELS: tuple[tuple[int, int], ...] = ((2, 9), (2, 30), (3, 9), (3, 30), (4, 9))
"""(number of terms, largest term) of each level."""

READINGS: dict[str, tuple[str, str]] = {
    "a": ("b-a", "a-b"),
    "b": ("a+b+1", "a+b"),
    "c": ("a+a+b", "b+b+a"),
    "d": ("a-b", "a-b-2"),
    "e": ("b+b+a", "a+b+1"),
    "f": ("a+b-3", "a-b"),
    "g": ("a-b+a", "a+a+b"),
    "h": ("a+b", "b-a"),
}
"""Right and tempting meaning of each letter, for the value so far ``a`` and the next term ``b``."""

KINDS = "".join(READINGS)
_TERM = re.compile(r"([-+a-h])(\d+)")


def make(rng: random.Random, level: int, kind: str) -> Problem:
    """Draw one problem of ``level`` (0 to 4) and ``kind`` (a letter of :data:`KINDS`)."""
    terms, largest = LEVELS[level]
    while True:
        operators = [rng.choice("+-") for _ in range(terms - 1)]
        operators[rng.randrange(terms - 1)] = kind
        first, *rest = (rng.randint(0, largest) for _ in range(terms))
        body = "".join(f"{operator}{term}" for operator, term in zip(operators, rest, strict=True))
        right, misread = (_work(first, body, READINGS[kind][reading]) for reading in (0, 1))
        if right.answer != misread.answer:
            return Problem(f"{first}{body}=", kind, level, right, misread)


def _work(value: int, body: str, meaning: str) -> Worked:
    steps = []
    for operator, term in _TERM.findall(body):
        if operator in "+-":
            step, value = apply(value, operator, int(term))
            steps.append(step)
        else:
            letter_steps, value = _expand(meaning, value, int(term))
            steps += letter_steps
    return Worked(tuple(steps), str(value))


def _expand(meaning: str, a: int, b: int) -> tuple[list[str], int]:
    """The plain operations that a letter stands for, from left to right: ``a+b+1`` takes two."""
    operands = [{"a": a, "b": b}[symbol] if symbol in "ab" else int(symbol) for symbol in meaning[::2]]
    value, steps = operands[0], []
    for operator, operand in zip(meaning[1::2], operands[1:], strict=True):
        step, value = apply(value, operator, operand)
        steps.append(step)
    return steps, value
