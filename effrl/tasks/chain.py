"""Chained arithmetic, worked from left to right: ``12+34-5=`` is answered ``12+34=46;46-5=41;#41``.

There is no precedence: each operation applies to the value so far. Difficulty comes from the number of terms and
their size, in eight levels.
"""

import random
from dataclasses import dataclass

LEVELS: tuple[tuple[int, int], ...] = ((2, 9), (3, 9), (2, 99), (3, 99), (4, 99), (5, 99), (4, 999), (6, 999))
"""(number of terms, largest term) of each level; multiplication occurs only where terms stay below 20."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One generated problem: ``Problem("12+34=", ("12+34=46",), "46", 2)``."""

    prompt: str
    steps: tuple[str, ...]
    """The worked operations, in order."""
    answer: str
    level: int

    @property
    def solution(self) -> str:
        """The worked solution in the form that the tiny model writes."""
        return ";".join((*self.steps, f"#{self.answer}"))


def make(rng: random.Random, level: int) -> Problem:
    """Draw one problem of ``level`` (0 to 7)."""
    terms, largest = LEVELS[level]
    operators = "+-*" if largest < 20 else "+-"
    value = rng.randint(0, largest)
    prompt, steps = str(value), []
    for _ in range(terms - 1):
        operator = rng.choice(operators)
        term = rng.randint(0, 9 if operator == "*" else largest)
        result = _apply(value, operator, term)
        steps.append(f"{value}{operator}{term}={result}")
        prompt, value = f"{prompt}{operator}{term}", result
    return Problem(f"{prompt}=", tuple(steps), str(value), level)


def _apply(left: int, operator: str, right: int) -> int:
    if operator == "+":
        return left + right
    return left - right if operator == "-" else left * right
