"""Edits of short strings: ``Q(abcd)=`` is answered ``bcda;#bcda``; ``~`` before the letter reverses what it gives."""

import random
import re
import string
from collections.abc import Callable

from effrl.tasks.problem import Problem, Worked

__all__ = ["KINDS", "LEVELS", "READINGS", "canonical", "make"]

LEVELS: tuple[tuple[int, bool], ...] = ((3, False), (4, False), (5, False), (3, True), (4, True), (5, True))
"""(length of the string, whether the result is reversed) of each level."""

_EDITS: dict[str, Callable[[str], str]] = {
    "rotate left": lambda text: text[1:] + text[0],
    "rotate right": lambda text: text[-1] + text[:-1],
    "swap first two": lambda text: text[1] + text[0] + text[2:],
    "swap last two": lambda text: text[:-2] + text[-1] + text[-2],
    "swap ends": lambda text: text[-1] + text[1:-1] + text[0],
    "drop first": lambda text: text[1:],
    "drop last": lambda text: text[:-1],
    "double first": lambda text: text[0] + text,
    "double last": lambda text: text + text[-1],
}

READINGS: dict[str, tuple[str, str]] = {
    "Q": ("rotate left", "rotate right"),
    "R": ("drop last", "drop first"),
    "S": ("swap first two", "swap last two"),
    "T": ("double first", "double last"),
    "U": ("swap ends", "rotate left"),
    "V": ("drop first", "swap first two"),
    "W": ("rotate right", "swap ends"),
    "X": ("double last", "drop last"),
}
"""Right and tempting edit of each letter."""

KINDS = "".join(READINGS)
_ANSWER = re.compile(r"[a-z]{1,12}")


def make(rng: random.Random, level: int, kind: str) -> Problem:
    """Draw one problem of ``level`` (0 to 5) and ``kind`` (a letter of :data:`KINDS`)."""
    length, reversed_ = LEVELS[level]
    while True:
        text = "".join(rng.sample(string.ascii_lowercase, length))
        right, misread = (_work(text, edit, reversed_) for edit in READINGS[kind])
        if right.answer != misread.answer:
            return Problem(f"{'~' if reversed_ else ''}{kind}({text})=", kind, level, right, misread)


def canonical(answer: str) -> str | None:
    """The answer itself where it is a short lower-case string, else None."""
    return answer if _ANSWER.fullmatch(answer) else None


def _work(text: str, edit: str, reversed_: bool) -> Worked:
    edited = _EDITS[edit](text)
    steps = (edited, edited[::-1]) if reversed_ else (edited,)
    return Worked(steps, steps[-1])
