"""The seams: what the loop and the services expect of each part. Implementations need not inherit from these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from effrl.batch import Batch
from effrl.types import (
    Group,
    Judged,
    Prompt,
    Publication,
    ScoredGroup,
    Status,
    Update,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reward function finds in one completion."""

    outcome: float
    """Correctness in [0, 1]."""
    answer: str | None = None
    """The final answer that was extracted."""
    status: Status = Status.OK


class Reward(Protocol):
    """A reward function; runs in a killable worker process, so it may be slow or fail without hurting the run."""

    def __call__(self, completion: str, label: str | None, meta: Mapping[str, Any]) -> "Verdict | float":
        """Judge one completion. Raise to say that it could not be judged (it is then left out, not scored 0)."""
        ...


class Selector(Protocol):
    """Chooses the prompts to roll out. Runs in the data actor."""

    def select(self, count: int) -> Sequence[Prompt]:
        """The next ``count`` prompts."""
        ...

    def state(self) -> Mapping[str, Any]:
        """What :meth:`restore` needs to go on from here; JSON-serialisable."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        ...


class Labeller(Protocol):
    """Decides what supervises each group."""

    async def assign(self, step: int, groups: Sequence[Group]) -> Sequence[Judged]:
        """One decision per group, in order."""
        ...


class Rollouts(Protocol):
    async def take(self, step: int, count: int) -> Sequence[Group]:
        """Select ``count`` prompts and roll them out with the current policy version."""
        ...


class Rewards(Protocol):
    async def outcome(self, judged: Sequence[Judged]) -> Sequence[ScoredGroup]:
        """Score every rollout of the groups in use; dropped groups pass through without scores."""
        ...


class Learner(Protocol):
    async def step(self, batch: Batch) -> Update:
        """Learn from a batch, in one or more optimizer steps: one new version; with nothing to learn, none."""
        ...


class Weights(Protocol):
    async def publish(self, update: Update) -> "Publication | None":
        """Hand a new version to every rollout worker and prove that it is served; None without a new version."""
        ...


class Journal(Protocol):
    """What the loop tells the run directory."""

    def rolled(self, step: int, groups: Sequence[Group]) -> None:
        """Groups now exist: written before anything else happens to them."""
        ...

    async def commit(
        self, batch: Batch, update: Update, publication: "Publication | None", evaluation: Mapping[str, float]
    ) -> None:
        """Metrics, fates and, where due, a checkpoint of the step."""
        ...
