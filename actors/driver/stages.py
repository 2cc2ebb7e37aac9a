"""The stages of a run on the cluster: each begins with a pool and settings of its own, of which all are told."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.driver.feedback import FeedbackService
from actors.driver.labelling import TimedLabeller
from actors.driver.pools import ALL, StagePool, StagePools
from actors.driver.rollouts import RolloutService
from actors.driver.scout import Scout
from actors.learner.service import LearnerService
from actors.reward.service import RewardService
from actors.wait import answer
from effrl.config.label_base import LabelConfig
from effrl.config.schema import Config
from effrl.data.survey import Survey
from effrl.label.easyrl.labeller import PseudoLabeller, Waiting
from effrl.label.easyrl.rounds import labels_of
from effrl.process.none import RestingProcess
from effrl.protocols import Labeller, Oracle
from effrl.report.progress import Progress
from effrl.run.metrics import EXTRA_ROLLOUTS, EXTRA_TOKENS
from effrl.saved import Saved
from effrl.select.build import form_of
from effrl.stages import Stretch, TrainingStage, is_ready, stretches
from effrl.types import Step


@dataclass
class Followers:
    """Everyone who goes by the config of the stage."""

    data: Any
    oracle: Any
    learner: LearnerService
    rollouts: RolloutService
    scout: Scout
    rewards: RewardService
    feedback: FeedbackService
    process: RestingProcess
    labeller: TimedLabeller
    train: Survey
    wait_s: float

    async def change(self, config: Config, pool: StagePool, labeller: Labeller) -> None:
        """Have everyone go by a stage's config from now on, and draw from its pool."""
        self.learner.config = self.rollouts.config = self.scout.config = config
        self.scout.form, self.scout.may_buy = form_of(config, self.train), not pool.rounds
        self.rewards.config, self.rewards.reads_clusters = config.reward, config.label.reads_clusters
        self.feedback.keeps_groups = config.replay is not None
        self.process.rests = config.process is None
        self.labeller.labeller = labeller
        await answer(self.oracle.enter.remote(config.label), self.wait_s, "a stage's budget", "oracle")
        await answer(self.data.enter.remote(config, pool.ids), self.wait_s, "a stage's pool", "data")


@dataclass
class StagedRun:
    """The :class:`~effrl.protocols.Stages` of a run that has some, and the part of a checkpoint that says where it is.

    A stage begins with a selector and a replay store that know nothing; so does its labeller, unless its ``label``
    section is that of the stage before. The policy, the ledger and what is known of each prompt go on.
    """

    config: Config
    followers: Followers
    pools: StagePools
    oracle: Oracle
    make: Callable[[Config], Labeller]
    """A stage's own labeller, from its config."""
    go_on: Callable[[Step], bool]
    progress: Progress
    policy: Callable[[], str]
    """Fingerprint of the policy of the moment."""
    step: int = 0
    """The last that is done."""
    at: int = 0
    """Place of the stretch that the run is in."""
    first: int = 1
    """Number of that stretch's first step."""
    pool: StagePool = ALL
    """Of that stretch."""
    _entered: TrainingStage | None = None
    """What a resume went back into."""
    _own: tuple[LabelConfig, Labeller] | None = None
    """The stage's own labeller, and what it was made from."""
    last: int | None = None
    """Number of the run's last step, once the run is in its last stretch."""
    name: str = field(default="stages", init=False)

    def __post_init__(self) -> None:
        self._stretches = stretches(self.config.stages)

    async def remaining(self) -> AsyncIterator[TrainingStage]:
        while self.at < len(self._stretches):
            stage = self._entered or self._stage(self._stretches[self.at])
            self._entered = None
            yield stage
            if stage.cut_short or stage.last == self.config.run.steps:
                return
            self._go_to_next(stage)

    def _stage(self, stretch: Stretch) -> TrainingStage:
        async def begin() -> None:
            await self._enter(stage, stretch)

        stage = TrainingStage(
            config=self.config.of(stretch.stage),
            labeller=self.followers.labeller,
            go_on=self.go_on,
            next=self.step + 1,
            first=self.first,
            limit=self.config.run.steps,
            name=stretch.name,
            preparation=begin,
        )
        return stage

    async def _enter(self, stage: TrainingStage, stretch: Stretch) -> None:
        """Find the stage's pool, and change to its settings."""
        begins, feedback = stage.next == stage.first, self.followers.feedback
        pool = await self.pools.of(stretch, self.policy() if begins else None, stage.next)
        config = self.config.of(stretch.stage, pool.size)
        if stretch.stage.reset_optimizer and begins:
            await self.followers.learner.group.all("forget")
        await self.followers.change(config, pool, self._labeller(config, pool, stretch))
        feedback.stage = {"stage/number": self.at + 1, "stage/name": stretch.name}
        feedback.prepared = {**pool.metrics, **_added(feedback.prepared, pool.metrics)} if begins else {}
        stage.begin(config, self.followers.labeller)
        stage.is_empty, self.pool = not pool.size, pool
        self.last = stage.last if self._next() == len(self._stretches) else None
        self.progress.note(f"stage {stretch.name}: {pool.told}, {stage.last - stage.first + 1} steps")
        self.progress.enters(stretch.name, stage.first, stage.last)

    def _labeller(self, config: Config, pool: StagePool, stretch: Stretch) -> Labeller:
        """The stage's own one; with pseudo-labels it decides about what is deferred."""
        if self._own is None or self._own[0] != config.label:
            self._own = config.label, self.make(config)
        own, labelled = self._own[1], stretch.stage.learns_labels
        if labelled is None:
            return own
        others = own if labelled.deferred == "buy" else Waiting()
        return PseudoLabeller(self.oracle, pool.gold, labels_of(pool.rounds, labelled), others)

    def _go_to_next(self, stage: TrainingStage) -> None:
        """The rounds of a pool end with the one that says so."""
        done, following = self._stretches[self.at], self._next()
        if following > self.at + 1:
            self.progress.note(f"stage {done.stage.name} ends after round {done.round}: {self.pool.ends}")
        self.step, self.first, self.at = stage.last, stage.last + 1, following

    def _next(self) -> int:
        """Place of the stretch that follows: a round that ends its stage is followed by none of it."""
        done, after = self._stretches[self.at], self.at + 1
        if self.pool.ends is None:
            return after
        return after + sum(stretch.stage is done.stage for stretch in self._stretches[after:])

    async def resume(self, step: int, state: Mapping[str, Any]) -> None:
        """Go back into the stage in which ``step`` was committed, before the other parts load what they saved in it."""
        self.step, self.at, self.first = step, state["at"], state["first"]
        stage = self._stage(self._stretches[self.at])
        await stage.prepare()
        if step < stage.last:
            stage.preparation = is_ready
            self._entered = stage
        else:
            self._go_to_next(stage)

    async def save(self, into: Path) -> Saved:
        return Saved({}, {"at": self.at, "first": self.first, "last": self.last})

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        """Nothing is left to load: :meth:`resume` was there before the other parts."""


def _added(untold: Mapping[str, float], metrics: Mapping[str, float]) -> dict[str, float]:
    """Costs, with those of rounds before that selected nothing, and so had no step to be told with."""
    costs = (*EXTRA_ROLLOUTS, *EXTRA_TOKENS)
    return {name: untold[name] + metrics.get(name, 0) for name in costs if name in untold}
