"""Data sets that the project makes itself: rows drawn from a task family, split by a hash of the problem."""

import hashlib
import random
from collections.abc import Iterator
from typing import Literal

from effrl.tasks import chain

Split = Literal["train", "eval", "test"]


def split_of(prompt: str) -> Split:
    """The split a problem belongs to: by its text, so that no seed can put one problem into two splits."""
    bucket = hashlib.blake2b(prompt.encode(), digest_size=2).digest()[0] % 10
    return "eval" if bucket == 0 else "test" if bucket == 1 else "train"


def problems(name: str, split: Split, size: int, seed: int) -> Iterator[chain.Problem]:
    """``size`` distinct problems of ``split``, the levels in turn, reproducible from ``seed``.

    Small levels run out of distinct problems; then the next level supplies them.
    """
    make, levels = _FAMILIES[name]
    rng = random.Random(f"{name}/{split}/{seed}")
    seen: set[str] = set()
    level = 0
    while len(seen) < size:
        for _ in range(_DRAWS_PER_PROBLEM):
            problem = make(rng, level % levels)
            if problem.prompt not in seen and split_of(problem.prompt) == split:
                seen.add(problem.prompt)
                yield problem
                break
        level += 1


_DRAWS_PER_PROBLEM = 200
_FAMILIES = {"chain": (chain.make, len(chain.LEVELS))}
FAMILIES: tuple[str, ...] = tuple(_FAMILIES)
