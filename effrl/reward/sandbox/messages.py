"""What the sandbox and its workers say to each other, and how it crosses: as JSON, which is checked on arrival.

Never as pickle, which runs code where it is read: a reward function, or what it imported, could then run code in the
process that judges everything. A message that is not what it should be is worth nothing, and costs its worker.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from effrl.types import Score, Status

ScoringQuestion = Literal["outcome", "answer", "same", "format"]
"""What a worker is asked about a completion: how right is it; what is its answer, and is that the label's (of a sum,
the one part that tells answers); are two answers, in place of completion and label, the same; does it have the format
of ``reward.terms.format``."""

_STATUSES = frozenset(map(str, Status))
_LONGEST_DETAIL = 300


@dataclass(frozen=True, slots=True)
class ScoringTask:
    """One completion to judge.

    Example: ``ScoringTask("12+34=46;#46", "46", {"level": 2}, truncated=False, prompt_id="chain/3f2a")``.
    """

    completion: str
    label: str | None
    meta: Mapping[str, Any]
    """JSON: strings, numbers, lists and objects."""
    truncated: bool
    """The rollout hit its token limit; without an answer its status is then ``truncated``, not ``unparseable``."""
    question: ScoringQuestion = "outcome"
    prompt_id: str = ""
    """Names the prompt where something is wrong with it; the worker does not see it."""


@dataclass(frozen=True, slots=True)
class Started:
    """A worker's first message: ready, or what is wrong with the reward function."""

    problem: str | None = None

    def pack(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def unpack(message: bytes) -> "Started | None":
        """None where the message is no such thing."""
        match _fields(message):
            case {"problem": str() | None as problem}:
                return Started(problem)
        return None


@dataclass(frozen=True, slots=True)
class Request:
    """A task under a number that no other task of the sandbox has."""

    number: int
    task: ScoringTask

    def pack(self) -> bytes:
        task = self.task
        asked = {"completion": task.completion, "label": task.label, "meta": dict(task.meta)}
        return json.dumps(
            {"number": self.number, **asked, "truncated": task.truncated, "question": task.question}
        ).encode()

    @staticmethod
    def unpack(message: bytes) -> "Request":
        """The sandbox's own word, which a worker trusts."""
        fields = json.loads(message)
        return Request(fields.pop("number"), ScoringTask(**fields))


@dataclass(frozen=True, slots=True)
class WorkerReply:
    """The answer to the request of the same number: a stray message can never be taken for another rollout's score."""

    number: int
    score: Score

    def pack(self) -> bytes:
        score = self.score
        found = {"outcome": score.outcome, "status": score.status, "answer": score.answer, "detail": score.detail}
        return json.dumps({"number": self.number, **found}).encode()

    @staticmethod
    def unpack(message: bytes) -> "WorkerReply | None":
        """None where the message is no score that a worker can give."""
        match _fields(message):
            case {
                "number": int(number),
                "outcome": float() | None as outcome,
                "status": str(status),
                "answer": str() | None as answer,
                "detail": str(detail),
            } if _possible(outcome, status):
                detail = " ".join(detail.split())[:_LONGEST_DETAIL]
                return WorkerReply(number, Score(outcome, outcome, Status(status), answer, detail))
        return None


def _possible(outcome: float | None, status: str) -> bool:
    """Whether a worker can give this outcome with this status: within [0, 1] if judged, 0 without an answer."""
    if status not in _STATUSES:
        return False
    if outcome is None or not Status(status).scored:
        return outcome is None and not Status(status).scored
    return 0 <= outcome <= 1 if status == Status.OK else outcome == 0


def _fields(message: bytes) -> object:
    try:
        return json.loads(message)
    except (ValueError, RecursionError):  # no JSON, no text, a number of ten thousand digits, or nested too deep
        return None
