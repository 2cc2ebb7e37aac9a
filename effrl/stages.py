"""Stages of a run: a stretch of steps with one labeller and one kind of batch. Most runs have one."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from effrl.advantage.build import advantages
from effrl.batch import Batch
from effrl.config.schema import Config
from effrl.protocols import Labeller
from effrl.types import Step

TRAIN = "train"
"""Name of the only stage of a run without stages of its own; the ledger's query ids begin with it."""


@dataclass
class TrainingStage:
    """A :class:`~effrl.protocols.Stage` that trains from step ``first`` to the last of ``run.steps``."""

    config: Config
    labeller: Labeller
    first: int
    go_on: Callable[[Step], bool]
    """Is asked before each step: nobody wished to stop, and there is something to learn from."""
    name: str = TRAIN

    def __post_init__(self) -> None:
        self._advantages = advantages(self.config.advantage)

    async def prepare(self) -> None:
        return None

    async def steps(self) -> AsyncIterator[Step]:
        last = self.config.run.steps
        for number in range(self.first, last + 1):
            step = Step(number, self.name, number, last)
            if not self.go_on(step):
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

    stage: TrainingStage = field()

    async def remaining(self) -> AsyncIterator[TrainingStage]:
        yield self.stage
