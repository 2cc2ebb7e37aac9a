"""Compact knights and knaves: knights (1) only say what is true, knaves (0) only what is false; who is what?

``C:CIF;F:F=C?`` has two speakers. C says that ``I`` holds of C and F, F says that F and C are of one sort. The worked
solution tries every assignment, from all knights down, and writes what each statement is worth under it, until values
and assignment agree: ``11:01;10:10;#10``.
"""

import random
import re
from collections.abc import Iterator, Mapping
from itertools import product

from effrl.tasks.problem import Problem, Worked

__all__ = ["KINDS", "LEVELS", "READINGS", "canonical", "make"]

LEVELS: tuple[int, ...] = (2, 3)
"""Number of speakers of each level."""

Table = str
"""Truth of a predicate of two persons: for (1,1), (1,0), (0,1), (0,0), such as ``1001`` for "of one sort"."""

_PLAIN: dict[str, Table] = {"=": "1001", "!": "0110", "&": "1000", "|": "1110"}
READINGS: dict[str, tuple[Table, Table]] = {
    "I": ("0111", "1011"),
    "J": ("1011", "0001"),
    "K": ("0001", "1011"),
    "L": ("1101", "0111"),
    "M": ("0010", "1101"),
    "N": ("1100", "0010"),
    "O": ("0100", "1011"),
    "P": ("0011", "1100"),
}
"""Right and tempting table of each letter."""

KINDS = "".join(READINGS)
_NAMES = "ABCDEFGHQRSTUVWXYZ"
_CASES = {(1, 1): 0, (1, 0): 1, (0, 1): 2, (0, 0): 3}
_MOST_TRIED = 5
"""Assignments that a worked solution may take, to keep it short."""
_ANSWER = re.compile(r"[01]{2,8}")

Statement = tuple[str, str, str]
"""First person, predicate, second person."""


def make(rng: random.Random, level: int, kind: str) -> Problem:
    """Draw one problem of ``level`` (0 or 1) and ``kind`` (a letter of :data:`KINDS`) with exactly one solution."""
    while True:
        speakers = sorted(rng.sample(_NAMES, LEVELS[level]))
        predicates = [rng.choice(list(_PLAIN)) for _ in speakers]
        predicates[rng.randrange(len(speakers))] = kind
        statements = [_about(rng, speakers, predicate) for predicate in predicates]
        right, misread = (_work(speakers, statements, {**_PLAIN, kind: table}) for table in READINGS[kind])
        if right and misread and right.answer != misread.answer:
            said = (f"{who}:{''.join(statement)}" for who, statement in zip(speakers, statements, strict=True))
            return Problem(f"{';'.join(said)}?", kind, level, right, misread)


def canonical(answer: str) -> str | None:
    """The answer itself where it is a row of 0 and 1, else None."""
    return answer if _ANSWER.fullmatch(answer) else None


def _about(rng: random.Random, speakers: list[str], predicate: str) -> Statement:
    first, second = rng.sample(speakers, 2)
    return first, predicate, second


def _work(speakers: list[str], statements: list[Statement], tables: Mapping[str, Table]) -> Worked | None:
    """Try assignments in order; None where the solution is not unique or comes late."""
    tried = list(_tries(speakers, statements, tables))
    solutions = [index for index, (assignment, values) in enumerate(tried) if assignment == values]
    if len(solutions) != 1 or solutions[0] >= _MOST_TRIED:
        return None
    steps = tuple(f"{assignment}:{values}" for assignment, values in tried[: solutions[0] + 1])
    return Worked(steps, tried[solutions[0]][0])


def _tries(speakers: list[str], statements: list[Statement], tables: Mapping[str, Table]) -> Iterator[tuple[str, str]]:
    for bits in product((1, 0), repeat=len(speakers)):
        sort = dict(zip(speakers, bits, strict=True))
        values = (tables[predicate][_CASES[sort[first], sort[second]]] for first, predicate, second in statements)
        yield "".join(map(str, bits)), "".join(values)
