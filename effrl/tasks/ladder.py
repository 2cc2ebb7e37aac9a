"""Long chains of last digits, in which several letters decide: each rung is one short step, written out.

``7q3+4-1…=`` is climbed from left to right, and only the last digit of a value is kept. A letter says itself and then
the plain operation that it stands for: ``q3-7=6;6+4=0;0-1=9;…;#9``. Each letter of a problem has a tempting reading
too, whoever falls for one of them ends at another answer, whatever else they do right or wrong: only problems of which
that is true are drawn. So a right answer says that every letter was read rightly, and a wrong one does not say which
was not; :func:`decisions` does.
"""

import random
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import combinations

from effrl.tasks.arithmetic import apply
from effrl.tasks.problem import Problem, Worked

__all__ = ["KINDS", "LEVELS", "READINGS", "Fork", "canonical", "decisions", "letters", "make", "work"]

LEVELS: tuple[tuple[int, int], ...] = ((8, 1), (8, 2), (8, 3), (9, 4))
"""(number of steps, how many of them are letters) of each level."""

READINGS: dict[str, tuple[str, str]] = {
    "q": ("b-a", "a-b"),
    "r": ("a+b", "a-b"),
    "s": ("a*b", "a+b"),
    "t": ("a-b", "b-a"),
    "u": ("a+a", "a*b"),
    "v": ("9-a", "a+a"),
    "w": ("a*3", "9-a"),
    "x": ("a+1", "a*3"),
}
"""Right and tempting meaning of each letter, for the value so far ``a`` and the next term ``b``."""

KINDS = "".join(READINGS)
_TERM = re.compile(r"([-+q-x])([1-9])")
_ANSWER = re.compile(r"[0-9]")


@dataclass(frozen=True, slots=True)
class Fork:
    """Where a written solution read a letter."""

    letter: str
    place: int
    """Index of the character at which the two readings part; the tiny models' tokens are characters."""
    right: bool | None
    """Whether the right reading stands there; None where neither does."""


def make(rng: random.Random, level: int, kind: str) -> Problem:
    """Draw one problem of ``level`` (0 to 3), of whose letters one is ``kind``; all are different.

    What tempts is to read ``kind`` wrong and the others right.
    """
    steps, several = LEVELS[level]
    while True:
        operators = [rng.choice("+-") for _ in range(steps)]
        decided = [kind, *rng.sample(KINDS.replace(kind, ""), several - 1)]
        for place, letter in zip(rng.sample(range(steps), several), decided, strict=True):
            operators[place] = letter
        prompt = f"{rng.randint(0, 9)}{''.join(f'{operator}{rng.randint(1, 9)}' for operator in operators)}="
        right = work(prompt, "")
        if all(work(prompt, misread).answer != right.answer for misread in _misreadings(decided)):
            return Problem(prompt, kind, level, right, work(prompt, kind))


def _misreadings(decided: list[str]) -> Iterator[tuple[str, ...]]:
    for count in range(1, len(decided) + 1):
        yield from combinations(decided, count)


def letters(prompt: str) -> str:
    """The letters of a prompt, in the order in which they are read."""
    return "".join(operator for operator, _ in _TERM.findall(prompt) if operator in KINDS)


def work(prompt: str, misread: Collection[str]) -> Worked:
    """The solution in which the letters ``misread`` are read in the tempting way and the others rightly."""
    value, steps = prompt[0], []
    for operator, term in _TERM.findall(prompt[1:]):
        steps.append(_step(value, operator, term, tempting=operator in misread))
        value = steps[-1][-1]
    return Worked(tuple(steps), value)


def decisions(prompt: str, written: str) -> tuple[Fork, ...]:
    """Where a written solution of ``prompt`` decided, in order.

    Each step is judged by the value that the step before it wrote, so a solution can decide rightly after it went
    wrong. A letter is left out where its step was not written, where the value before it is no digit, and where both
    readings of that value look alike.
    """
    found = []
    value, start = prompt[0], 0
    for (operator, term), step in zip(_TERM.findall(prompt[1:]), written.split(";"), strict=False):
        if operator in KINDS and canonical(value):
            right, tempting = (_step(value, operator, term, tempting=way) for way in (False, True))
            found += _decided(operator, right, tempting, step, start)
        value, start = step[-1:], start + len(step) + 1
    return tuple(found)


def _decided(letter: str, right: str, tempting: str, step: str, start: int) -> list[Fork]:
    """The decision that ``step`` holds, which begins at the character ``start``; none where there is none."""
    if right == tempting:
        return []
    parts = next(at for at, (one, other) in enumerate(zip(right, tempting, strict=True)) if one != other)
    if len(step) <= parts:
        return []
    ways = {right[: parts + 1]: True, tempting[: parts + 1]: False}
    return [Fork(letter, start + parts, ways.get(step[: parts + 1]))]


def _step(value: str, operator: str, term: str, *, tempting: bool) -> str:
    """One rung as it is written: ``_step("7", "+", "4", tempting=False) == "7+4=1"``."""
    meaning = READINGS[operator][tempting] if operator in KINDS else f"a{operator}b"
    left, sign, right = ({"a": value, "b": term}.get(symbol, symbol) for symbol in meaning)
    step, result = apply(int(left), sign, int(right))
    return f"{operator if operator in KINDS else ''}{step.partition('=')[0]}={result % 10}"


def canonical(answer: str) -> str | None:
    """The answer itself where it is one digit, else None."""
    return answer if _ANSWER.fullmatch(answer) else None
