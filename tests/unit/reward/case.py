"""A verifier case, and short ways to write many."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Case:
    """``Case("math", "\\boxed{15 dollars}", "15", True, "a unit of money is no part of the value")``."""

    kind: Literal["math", "exact", "choice"]
    completion: str
    label: str
    right: bool
    why: str
    extract: Literal["strict", "lenient"] = "strict"


def same(why: str, label: str, right: Iterable[str] = (), wrong: Iterable[str] = ()) -> list[Case]:
    """Cases of ``math`` whose completions are a box with the answer in it."""
    return said(why, label, [f"\\boxed{{{answer}}}" for answer in right], [f"\\boxed{{{answer}}}" for answer in wrong])


def said(
    why: str,
    label: str,
    right: Iterable[str] = (),
    wrong: Iterable[str] = (),
    kind: Literal["math", "exact", "choice"] = "math",
    extract: Literal["strict", "lenient"] = "strict",
) -> list[Case]:
    """Cases whose completions are given as they are."""
    return [
        Case(kind, completion, label, verdict, why, extract)
        for verdict, completions in ((True, right), (False, wrong))
        for completion in completions
    ]
