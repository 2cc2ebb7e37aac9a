"""The seams: what the loop and the services expect of each part. Implementations need not inherit from these."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from effrl.batch import Batch
from effrl.types import (
    Group,
    Judged,
    Observation,
    Prompt,
    Publication,
    ReadGroup,
    ScoredGroup,
    Status,
    Stored,
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
    """Chooses the prompts to roll out. Runs in the data actor.

    Your own is a class or function ``(prompts: Sequence[Prompt], seed: int) -> Selector``.
    """

    def select(self, count: int) -> Sequence[Prompt]:
        """The next ``count`` prompts."""
        ...

    def observe(self, seen: Sequence[Observation]) -> None:
        """Take note of a step's outcomes, those of groups without signal included."""
        ...

    def state(self) -> Mapping[str, Any]:
        """What :meth:`restore` needs to go on from here; JSON-serialisable."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state."""
        ...


@dataclass(frozen=True, slots=True)
class LookAhead:
    """What a selector wants to know of the policy of the moment before it chooses."""

    prompts: tuple[Prompt, ...]
    what: Literal["pass_rate", "certainty"]
    """The share of a group of rollouts that pass; or how sure the policy is of an answer, in one forward pass and
    without rollouts (:func:`effrl.select.ufo.zone.certainty`)."""


@runtime_checkable
class LooksAhead(Selector, Protocol):
    """A selector that asks about prompts before it chooses: it spends a little to choose better."""

    def request(self, step: int) -> LookAhead | None:
        """What to find out before step ``step``; None where nothing is wanted. The same until :meth:`receive`."""
        ...

    def receive(self, step: int, found: Mapping[str, float]) -> None:
        """What was found, in [0, 1] by prompt id; prompts of which nothing could be found out are left out."""
        ...

    def metrics(self) -> Mapping[str, float]:
        """How good the last choice was expected to be, and how good earlier expectations turned out to be."""
        ...


@runtime_checkable
class Explains(Selector, Protocol):
    """A selector that can say of each prompt why it is chosen or not; what it says is kept with the run."""

    def reasons(self) -> Mapping[str, Mapping[str, float | bool]]:
        """By prompt id, what it went by at its last look, such as ``{"certainty": 0.4, "selected": True}``."""
        ...


class Oracle(Protocol):
    """Sells labels; the ledger and the budget are on its side."""

    async def buy(self, step: int, prompt_ids: Sequence[str]) -> Sequence[str | None]:
        """One label per prompt; None where the budget is spent or there is no label. What is owned costs nothing."""
        ...

    async def owned(self, prompt_ids: Sequence[str]) -> Sequence[str | None]:
        """The labels among these that were bought already, None for the others."""
        ...


class Labeller(Protocol):
    """Decides what supervises each group. Runs in the driver.

    Your own is a class or function ``(config: effrl.config.schema.Config, oracle: Oracle) -> Labeller``.
    """

    async def assign(self, step: int, groups: Sequence[ReadGroup]) -> Sequence[Judged]:
        """One decision per group, in order."""
        ...


class Rollouts(Protocol):
    async def take(self, step: int, count: int) -> Sequence[Group]:
        """Select ``count`` prompts and roll them out with the current policy version."""
        ...


class Rewards(Protocol):
    async def read(self, groups: Sequence[Group]) -> Sequence[ReadGroup]:
        """Extract the final answers of each group, and find out which are equivalent."""
        ...

    async def outcome(self, judged: Sequence[Judged]) -> Sequence[ScoredGroup]:
        """Score every rollout of the groups in use; dropped groups pass through without scores."""
        ...


class Replay(Protocol):
    async def draw(self, step: int, count: int) -> Sequence[Stored]:
        """Up to ``count`` groups of earlier steps, scored as the labels that are owned now have it; often 0."""
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
