"""Stages of a run: a stretch of steps with one labeller and one kind of batch. Most runs have one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from effrl.advantage.build import advantages
from effrl.batch import Batch
from effrl.config.schema import Config
from effrl.config.stages import StageConfig
from effrl.protocols import Labeller
from effrl.types import Step

TRAIN = "train"
"""Name of the only stage of a run without stages of its own; the ledger's query ids begin with it."""


BASE = Step(0, TRAIN, 0, 1)
"""What comes before the first step: the base model is evaluated."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stage, or one round of it."""

    stage: StageConfig
    round: int = 1

    @property
    def name(self) -> str:
        """``warm-up``; of a stage with rounds ``self-training.2``."""
        return f"{self.stage.name}.{self.round}" if self.stage.rounds > 1 else self.stage.name


def stretches(stages: tuple[StageConfig, ...]) -> list[Stretch]:
    """What a run goes through, in order."""
    return [Stretch(stage, number) for stage in stages for number in range(1, stage.rounds + 1)]


async def is_ready() -> None:
    """What a stage does that has nothing to prepare, or was prepared before."""


@dataclass
class TrainingStage:
    """A :class:`~effrl.protocols.Stage` that trains from step ``next`` to its end, or to the end of the run."""

    config: Config
    """Its own: ``run.steps`` is its length."""
    labeller: Labeller
    go_on: Callable[[Step], bool]
    """Is asked before each step: nobody wished to stop, and there is something to learn from."""
    next: int
    """Number of the first step that is still to do."""
    first: int = 1
    """Number of its first step."""
    limit: int | None = None
    """Number of the last step of the run, whatever its stages want."""
    name: str = TRAIN
    preparation: Callable[[], Awaitable[None]] = is_ready
    is_empty: bool = field(default=False, init=False)
    """Whether there is nothing to draw from: then it has no step."""
    cut_short: bool = field(default=False, init=False)
    """Whether a step that was to come was not gone on to."""

    def __post_init__(self) -> None:
        self.begin(self.config, self.labeller)

    def begin(self, config: Config, labeller: Labeller) -> None:
        """Go by these from the next batch on."""
        self.config, self.labeller = config, labeller
        self._advantages = advantages(config.advantage)

    @property
    def last(self) -> int:
        """Number of its last step; without any, that of the one before its first."""
        end = self.first - 1 if self.is_empty else self.first + self.config.run.steps - 1
        return end if self.limit is None else min(end, self.limit)

    async def prepare(self) -> None:
        await self.preparation()

    async def steps(self) -> AsyncIterator[Step]:
        of = self.config.run.steps
        for number in range(self.next, self.last + 1):
            step = Step(number, self.name, number - self.first + 1, of)
            if not self.go_on(step):
                self.cut_short = True
                return
            yield step

    def batch(self, step: Step) -> Batch:
        fresh, rollout = self.config.fresh_at(step.place), self.config.rollout
        return Batch(
            step=step.number,
            prompts=fresh,
            refill=rollout.refill,
            advantage=self._advantages,
            contrast=self.config.advantage.needs_contrast,
            replays=rollout.prompts - fresh,
            max_age=self.config.label.max_age,
            band=rollout.filter,
            weigh=self.config.select.weighs_rollouts,
        )


@dataclass
class OneStage:
    """The :class:`~effrl.protocols.Stages` of a run that is one stage."""

    stage: TrainingStage

    async def remaining(self) -> AsyncIterator[TrainingStage]:
        yield self.stage
