"""What the sandbox and its workers say to each other.

A module of its own, since the worker runs as ``__main__``: a class defined there would arrive as another class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from effrl.types import Score

Question = Literal["outcome", "answer", "format"]
"""What a worker is asked about a completion: how right is it; what is its answer, and is that the label's (of a sum,
the one part that tells answers); does it have the format of ``reward.terms.format``."""


@dataclass(frozen=True, slots=True)
class ScoringTask:
    """One completion to judge.

    Example: ``ScoringTask("12+34=46;#46", "46", {"level": 2}, truncated=False)``.
    """

    completion: str
    label: str | None
    meta: Mapping[str, Any]
    truncated: bool
    """The rollout hit its token limit; without an answer its status is then ``truncated``, not ``unparseable``."""
    question: Question = "outcome"


@dataclass(frozen=True, slots=True)
class Started:
    """A worker's first message: ready, or what is wrong with the reward function."""

    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A task under a number that no other task of the sandbox has."""

    number: int
    task: ScoringTask


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the request of the same number: a stray message can never be taken for another rollout's score."""

    number: int
    score: Score
