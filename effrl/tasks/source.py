"""Data sets that the project makes itself: rows drawn from a task family, split by a hash of the problem."""

import hashlib
import random
from collections.abc import Iterator
from types import ModuleType
from typing import Literal

from effrl.tasks import brackets, chain, knights, ladder, strings
from effrl.tasks.problem import Problem

Split = Literal["train", "dev", "test"]

FAMILIES: dict[str, ModuleType] = {
    "chain": chain,
    "brackets": brackets,
    "strings": strings,
    "knights": knights,
    "ladder": ladder,
}
"""Each has ``LEVELS``, ``KINDS``, ``make(rng, level, kind)`` and ``canonical(answer)``."""

_DRAWS_PER_PROBLEM = 200


def split_of(prompt: str) -> Split:
    """The split a problem belongs to: by its text, so that no seed can put one problem into two splits."""
    bucket = hashlib.blake2b(prompt.encode(), digest_size=2).digest()[0] % 10
    return "dev" if bucket == 0 else "test" if bucket == 1 else "train"


def level_range(name: str, levels: str | None) -> range:
    """The levels that ``0-2`` or ``3`` names; all of the family's for None.

    Raises:
        ValueError: it is not written so, or the family lacks one of them.
    """
    count = len(FAMILIES[name].LEVELS)
    first, _, last = (levels or f"0-{count - 1}").partition("-")
    last = last or first
    if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last) < count):
        raise ValueError(f"levels of tasks:{name} are 0-{count - 1}, or a part of them: 0-1, 2")
    return range(int(first), int(last) + 1)


def problems(name: str, split: Split, size: int, seed: int, levels: range, kinds: str) -> Iterator[Problem]:
    """``size`` distinct problems of ``split``, levels and kinds in turn, reproducible from ``seed``.

    Small levels run out of distinct problems; then the others supply more. A kind that is given twice is drawn twice
    as often.

    Raises:
        ValueError: the family has fewer than ``size`` distinct problems of this split, these levels and kinds.
    """
    rng = random.Random(f"{name}/{split}/{seed}")
    turns = [(level, kind) for kind in kinds for level in levels]
    seen: set[str] = set()
    barren = 0
    while len(seen) < size:
        rng.shuffle(turns)
        found = len(seen)
        for level, kind in turns:
            problem = _draw(rng, name, split, level, kind, seen)
            if problem is not None:
                seen.add(problem.prompt)
                yield problem
            if len(seen) == size:
                return
        barren = barren + 1 if len(seen) == found else 0
        if barren:
            raise ValueError(f"tasks:{name} has only about {len(seen)} distinct problems of this sort, not {size}")


def _draw(rng: random.Random, name: str, split: Split, level: int, kind: str, seen: set[str]) -> Problem | None:
    """A problem of the split that was not drawn before; None where none was found in many draws."""
    for _ in range(_DRAWS_PER_PROBLEM):
        problem: Problem = FAMILIES[name].make(rng, level, kind)
        if problem.prompt not in seen and split_of(problem.prompt) == split:
            return problem
    return None
