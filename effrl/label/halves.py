"""The two halves of a labeller: a buyer ranks the groups, and a filter says what becomes of those it did not buy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from effrl.batch import Settled
from effrl.label.care.features import Features
from effrl.label.care.records import Lesson
from effrl.protocols import Part
from effrl.types import ReadGroup, Step, Supervision, View, Want


@dataclass(frozen=True, slots=True)
class Candidate:
    """A group whose label is not owned, as both halves see it before anything is bought."""

    read: ReadGroup
    view: View
    features: Features | None = None
    """Where one of the halves wants hidden states."""

    @property
    def prompt_id(self) -> str:
        return self.read.group.prompt.id


@dataclass(frozen=True, slots=True)
class Rank:
    """What a buyer thinks of a group; the highest scores are bought, of equals the smaller prompt id."""

    score: float | None
    """None: its label is not to be bought."""
    grounds: Mapping[str, float] = field(default_factory=dict)
    """What else is to be kept with the group."""


@dataclass(frozen=True, slots=True)
class Trust:
    """What a filter thinks of a group before anything is bought."""

    score: float | None = None
    """How much its vote is trusted; None where the filter has no opinion."""
    held: bool = False
    """Whether it is bought only after all others, since its vote will do."""


@dataclass(frozen=True, slots=True)
class Left:
    """A group whose label was not bought."""

    candidate: Candidate
    rank: Rank
    trust: Trust


class Buyer(Part, Protocol):
    """Ranks the groups of a step by what their label is worth."""

    @property
    def wants(self) -> frozenset[Want]:
        """What it needs to see of the policy."""
        ...

    async def rank(self, step: Step, candidates: Sequence[Candidate]) -> Sequence[Rank]:
        """Return what each group is worth, in order."""
        ...

    def learn(self, step: Step, settled: Sequence[Settled], lesson: Lesson) -> Mapping[str, float]:
        """Take note of a step's groups after the update; return metrics."""
        ...


class Filter(Part, Protocol):
    """Says which groups may train on their vote."""

    @property
    def wants(self) -> frozenset[Want]:
        """What it needs to see of the policy."""
        ...

    def trust(self, step: Step, candidates: Sequence[Candidate], groups: int) -> Sequence[Trust]:
        """Return what it thinks of each group before anything is bought, of a step of ``groups`` in all."""
        ...

    def judge(self, step: Step, left: Sequence[Left]) -> Sequence[Supervision | str]:
        """Return a pseudo-label for each group that was not bought, or why it has none and is dropped."""
        ...

    def learn(self, step: Step, settled: Sequence[Settled], lesson: Lesson) -> Mapping[str, float]:
        """Take note of a step's groups after the update; return metrics."""
        ...


class Untaught:
    """What a half does that wants no view and learns nothing."""

    wants: frozenset[Want] = frozenset()

    def learn(self, step: Step, settled: Sequence[Settled], lesson: Lesson) -> Mapping[str, float]:
        return {}
