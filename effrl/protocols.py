"""The seams: what the loop and the services expect of each part. Implementations need not inherit from these.

Two more are functions on numbers, and stand beside what they read: :data:`effrl.batch.AdvantageFunction` and
:class:`effrl.loss.tokens.PolicyLoss`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from effrl.batch import Batch, Settled, Stored
from effrl.questions import Answer, Question, Reply, Standing
from effrl.saved import Saved
from effrl.sequences import ProcessReward
from effrl.types import (
    Continuation,
    Float32,
    Group,
    Judged,
    Observation,
    Pick,
    Prompt,
    Publication,
    ReadGroup,
    ScoredGroup,
    Status,
    Step,
    Update,
    View,
    Want,
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


class Part(Protocol):
    """What has state that a checkpoint must hold. A checkpoint is what its parts say they wrote."""

    @property
    def name(self) -> str:
        """What the manifest calls it."""
        ...

    async def save(self, into: Path) -> Saved:
        """Write the state below ``into``; return every file as its writer saw and hashed it, and what is small."""
        ...

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`save` wrote below ``path`` and returned."""
        ...


class Selector(Protocol):
    """Chooses the prompts to roll out. Runs in the data actor.

    Your own is a class or function ``(prompts: Sequence[Prompt], seed: int) -> Selector``.
    """

    def select(self, count: int) -> Sequence[Prompt | Pick]:
        """Return the next ``count`` prompts; a bare one gets ``rollout.per_prompt`` rollouts, a pick its own number."""
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
    what: Literal["pass_rate", "certainty", "perplexity"]
    """The share of a group of rollouts that pass; or, in one forward pass and without rollouts, how sure the policy is
    of an answer (:func:`effrl.select.ufo.zone.certainty`), or how strange the prompt's own text is to it
    (:func:`effrl.select.perplexity.perplexity`)."""


@runtime_checkable
class LooksAhead(Selector, Protocol):
    """A selector that asks about prompts before it chooses: it spends a little to choose better."""

    def request(self, step: int) -> LookAhead | None:
        """What to find out before step ``step``; None where nothing is wanted. The same until :meth:`receive`."""
        ...

    def receive(self, step: int, found: Mapping[str, float]) -> None:
        """What was found by prompt id, in [0, 1] but for perplexities, which are at least 1.

        Prompts of which nothing could be found out are left out.
        """
        ...


@runtime_checkable
class Measures(Selector, Protocol):
    """A selector that has something to tell about each step's choice."""

    def metrics(self) -> Mapping[str, float]:
        """Rows of ``metrics.jsonl`` by name, such as how good a choice was expected to be, and how good it was."""
        ...


@runtime_checkable
class Explains(Selector, Protocol):
    """A selector that can say of each prompt why it is chosen or not; what it says is kept with the run."""

    def reasons(self) -> Mapping[str, Mapping[str, float | bool]]:
        """By prompt id, what it went by at its last look, such as ``{"certainty": 0.4, "selected": True}``."""
        ...


class Oracle(Protocol):
    """Sells labels; the ledger and the budget are on its side."""

    async def owned(self, step: Step, prompt_ids: Sequence[str]) -> Sequence[Standing]:
        """Return what was bought or asked before this step's own decisions: a label, an open query, or None.

        A step that a resume repeats sees what it saw the first time: its own purchases, and those of steps that were
        lost, are not among them. (Answers that came since are.)
        """
        ...

    async def buy(self, step: Step, questions: Sequence[Question]) -> Sequence[Reply]:
        """Return one reply per question. Buying again what is owned costs nothing, and gives the same label."""
        ...

    async def answered(self, after: int, wait_s: float = 0.0) -> tuple[int, Sequence[Answer]]:
        """Return the late answers after a cursor, from 0 on, and the cursor to go on from.

        Where there is none yet, wait up to ``wait_s`` seconds for one.
        """
        ...

    async def open(self) -> Sequence[str]:
        """Return the queries that nobody has answered yet, of whatever attempt at the run."""
        ...

    async def withdraw(self, queries: Sequence[str]) -> None:
        """Take back queries that were asked and not answered; what was held back for them is free again.

        Who waits for one is told so, as of a question that nobody could answer.
        """
        ...


class Answerer(Protocol):
    """Who answers the questions of a run: what ``label.oracle.kind`` names by import path. Runs in the oracle actor.

    It keeps neither a ledger nor a budget: it is asked only what can be paid, and what it answers is paid. It inherits
    from :class:`effrl.label.oracle.desk.AtOnce` if no answer of it comes late. Your own is a class or function
    ``(config: effrl.config.schema.LabelConfig) -> Answerer``.
    """

    source: str
    """Its name in the ledger; a prompt is paid once per source."""

    def ask(self, questions: Mapping[str, Question]) -> Mapping[str, Reply]:
        """Reply to each question by query id; an answer that comes later is ``Asked`` with that same query id.

        A question may come again with the same id, after a crash.
        """
        ...

    def answered(self) -> Sequence[Answer]:
        """Return late answers. One that was returned before may come again; it changes nothing."""
        ...

    def withdraw(self, queries: Sequence[str]) -> None:
        """Forget these questions: nobody waits for them any more."""
        ...


class Monitor(Protocol):
    """Compares answers with labels that nobody bought. Numbers leave it, labels do not, and only metrics may read them:
    a labeller that does is a diagnostic, and its reports say so."""

    async def gaps(self, groups: Sequence[ReadGroup]) -> Sequence[float]:
        """Return the true corrective advantage gap of each group; 0 where the data have no label."""
        ...

    async def metrics(self, settled: Sequence[Settled]) -> Mapping[str, float]:
        """Return how good a step's decisions were, such as ``label/vote_accuracy``; nothing where nobody looks."""
        ...


class Labeller(Part, Protocol):
    """Decides what supervises each group, and may learn from what became of them. Runs in the driver.

    Your own is a class or function ``(config: effrl.config.schema.Config, oracle: Oracle) -> Labeller``; it may inherit
    from :class:`effrl.label.stateless.Stateless`, which wants, learns and saves nothing.
    """

    @property
    def wants(self) -> frozenset[Want]:
        """What :meth:`assign` needs to see of the policy; anything costs the learner a forward pass over the step."""
        ...

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> Sequence[Judged]:
        """Return one decision per group, in order; ``views`` are of the same groups, with what is wanted."""
        ...

    async def learn(self, step: Step, settled: Sequence[Settled]) -> Mapping[str, float]:
        """Take note of the step's groups and fates, after the update; return metrics, such as ``label/threshold``."""
        ...


class Rollouts(Protocol):
    async def take(self, step: Step, count: int) -> Sequence[Group]:
        """Select ``count`` prompts and roll them out with the current policy version."""
        ...


class Rewards(Protocol):
    async def read(self, groups: Sequence[Group]) -> Sequence[ReadGroup]:
        """Extract the final answers of each group, and find out which are equivalent."""
        ...

    async def outcome(self, judged: Sequence[Judged]) -> Sequence[ScoredGroup]:
        """Score every rollout of the groups in use; dropped and parked groups pass through without scores."""
        ...


class Parked(Part, Protocol):
    """Groups that wait for their label, on disk: the learner never waits for a person."""

    async def answered(self, step: Step) -> Sequence[Judged]:
        """Return the groups of earlier steps whose label has come since, with it."""
        ...

    async def keep(self, step: Step, judged: Sequence[Judged]) -> Sequence[Judged]:
        """Write the parked ones among these to disk, before anything else happens to them; return all, in order."""
        ...


class Replay(Protocol):
    async def draw(self, step: Step, count: int) -> Sequence[Stored]:
        """Return up to ``count`` groups of earlier steps, scored as the labels that are owned now have it."""
        ...


class ProcessRewards(Part, Protocol):
    """Rewards of single tokens, such as those of an implicit PRM. Runs in the driver.

    Your own is a class or function ``(config: effrl.config.schema.Config) -> ProcessRewards``.
    """

    async def reward(self, step: Step, batch: Batch) -> ProcessReward:
        """Return the rewards of every rollout's tokens, for the groups in :attr:`Batch.learned` or for none.

        What learns online learns from :attr:`Batch.trained` alone: each group once, when it is fresh.
        """
        ...


class Learner(Protocol):
    @property
    def version(self) -> int:
        """Of the policy; it goes up by one with each batch that had something to learn."""
        ...

    async def view(self, groups: Sequence[ReadGroup], wants: frozenset[Want]) -> Sequence[View]:
        """Return what the policy of the moment makes of each group; with nothing wanted, without a forward pass."""
        ...

    async def logprobs(self, texts: Sequence[Continuation]) -> tuple[int, Sequence[Float32]]:
        """Return the log-probs of each continuation's tokens at temperature 1, and the one version that scored all."""
        ...

    async def step(self, step: Step, batch: Batch) -> Update:
        """Learn from a batch, in one or more optimizer steps: one new version; with nothing to learn, none."""
        ...


class Weights(Protocol):
    async def publish(self, update: Update) -> Publication | None:
        """Hand a new version to every rollout worker and prove that it is served; None without a new version."""
        ...


class Feedback(Protocol):
    async def __call__(self, step: Step, batch: Batch, labeller: Labeller) -> Mapping[str, float]:
        """Tell selector, replay store and labeller what became of a step; return what they measure."""
        ...


class Evaluate(Protocol):
    async def __call__(self, step: Step) -> Mapping[str, float]:
        """Return metrics of the held-out prompts after a step, or before the first; none where none is due."""
        ...


class Journal(Protocol):
    """What the loop tells the run directory."""

    def rolled(self, step: Step, groups: Sequence[Group]) -> None:
        """Record that groups exist, before anything else happens to them."""
        ...

    async def commit(
        self,
        step: Step,
        batch: Batch,
        update: Update,
        publication: Publication | None,
        learned: Mapping[str, float],
        evaluation: Mapping[str, float],
    ) -> None:
        """Write metrics, fates and, where due, a checkpoint of the step."""
        ...

    async def save(self) -> None:
        """Write a checkpoint of the last committed step, unless there is one."""
        ...


class Stage(Protocol):
    """A stretch of a run with settings of its own; most runs have one."""

    @property
    def labeller(self) -> Labeller:
        """What supervises the groups of this stage."""
        ...

    async def prepare(self) -> None:
        """Do what must be done before the first step, such as work on the pool; resumable, and often nothing."""
        ...

    def steps(self) -> AsyncIterator[Step]:
        """Yield the steps still to do: resume point, last step and the wish to stop."""
        ...

    def batch(self, step: Step) -> Batch:
        """Return the empty batch of a step."""
        ...


class Stages(Protocol):
    def remaining(self) -> AsyncIterator[Stage]:
        """Yield the stages that are not finished, in order."""
        ...
