"""The driver: brings the actors up, proves the weights, runs the loop, and takes everything down again."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import islice

from actors.cluster import Cluster
from actors.data.service import ReplayService
from actors.driver.certainty import CertaintyService
from actors.driver.evaluation import Evaluation, held_out
from actors.driver.journal import RunJournal
from actors.driver.rollouts import RolloutService
from actors.driver.scout import Scout
from actors.driver.transports import IpcTransport, ShmTransport, TakingTurns
from actors.driver.weights import WeightService, WeightSync
from actors.learner.group import LearnerGroup
from actors.learner.service import LearnerService
from actors.oracle.service import OracleService, TimedLabeller
from actors.reward.service import RewardService
from actors.rollout.sampling import Sampler
from actors.wait import answer
from effrl.advantage.build import advantages
from effrl.batch import Batch
from effrl.config.advantage import GaeAdvantage
from effrl.config.schema import Config
from effrl.data.reader import read
from effrl.label.build import labeller
from effrl.loop import Services, train
from effrl.preflight.check import Preflight
from effrl.report.progress import Progress
from effrl.run.checkpoint import Checkpoints
from effrl.run.directory import RunDirectory
from effrl.run.groups import GroupStore
from effrl.run.metrics import Metrics, MetricsLog, Stopwatch
from effrl.run.resume import StartPoint
from effrl.run.sinks import sinks
from effrl.select.ufo.records import ScoreRecords
from effrl.types import Prompt

DRILL_PROMPTS = 8


@dataclass
class Driver:
    """One attempt at a run."""

    config: Config
    directory: RunDirectory
    preflight: Preflight
    start: StartPoint
    progress: Progress
    cluster: Cluster

    def __post_init__(self) -> None:
        self.clock = Stopwatch(tell=self.progress.stage)
        self.held_out = held_out(self.config)
        self.advantages = advantages(self.config.advantage)
        self.stepping = False
        self.stopping = False

    async def run(self) -> None:
        """Everything between a connected Ray and a finished run; the actors are the caller's to stop."""
        attempt = asyncio.current_task()
        assert attempt is not None, "runs as a task"
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._interrupted, attempt)
        ready = await self.cluster.start(
            self.start.model, self.preflight.model, self.preflight.context, self.start.version
        )
        for line in (ready, *await answer(self.cluster.data.notes.remote(), self._wait_s, "notes", "data")):
            self.progress.note(line)
        learner = LearnerGroup(self.cluster.learner, self._wait_s)
        if self.start.checkpoint:
            await learner.all("restore", self.start.checkpoint)
            restored = self.cluster.data.load.remote(self.start.checkpoint, self.start.data_state)
            await answer(restored, self._wait_s, "restoring its state", "data")
        carry = IpcTransport if self.config.cluster.colocate else ShmTransport
        sync = WeightSync(carry(learner, self.cluster.rollout, self._wait_s), self.config.run.sync_tolerance)
        if self.cluster.took_over:
            await sync.hand_out(self.start.version)  # the engines still serve the run before
        await self._drill(sync)
        learning = LearnerService(learner, self.config, self.start.version, self.clock)
        scout = self._scout(learning)
        journal = self._journal(learner, scout)
        rollouts = self._rollouts(scout)
        services = self._services(learning, sync, journal, rollouts)
        try:
            if self.start.step == 0:
                await journal.base(self.start.version, await services.evaluate(0))
            await train(services)
            await journal.finish()
        finally:
            await rollouts.cancel()
            await asyncio.to_thread(journal.metrics.close)  # a sink may wait for its server; the loop must not

    async def _drill(self, sync: WeightSync) -> None:
        """Prove the path of the weights before the first rollout; what nothing could prove is said."""
        rendered = self.cluster.rollout["rollout-0"].render.remote(self._drill_prompts())
        prompts = await answer(rendered, self._wait_s, "rendering prompts", "rollout-0")
        began = time.monotonic()
        kinds, unproven = await sync.drill(self.start.version, prompts)
        doubt = f", except {', '.join(unproven)}: nothing moves with them" if unproven else ""
        self.progress.note(
            f"weights: {kinds} kinds of parameters perturbed, published and found served in"
            f" {time.monotonic() - began:.0f} s{doubt}"
        )

    def _scout(self, learning: LearnerService) -> Scout:
        config, cluster, wait_s = self.config, self.cluster, self._wait_s
        context = self.preflight.context
        return Scout(
            cluster.data,
            Sampler(cluster.rollout, wait_s),
            RewardService(cluster.reward, self.clock, wait_s, config.reward.terms, config.rollout.max_tokens),
            OracleService(cluster.oracle, wait_s),
            config,
            self.clock,
            CertaintyService(learning, cluster.rollout["rollout-0"], context, wait_s),
            ScoreRecords(self.directory.scores, self.preflight.model),
        )

    def _rollouts(self, scout: Scout) -> RolloutService:
        return RolloutService(self.cluster.data, scout.sampler, self.config, self.start.attempt, self.clock, scout)

    def _services(
        self, learning: LearnerService, sync: WeightSync, journal: RunJournal, rollouts: RolloutService
    ) -> Services:
        config, clock, scout = self.config, self.clock, rollouts.scout
        return Services(
            steps=lambda: self._steps(journal),
            new_batch=self._new_batch,
            rollouts=rollouts,
            labeller=TimedLabeller(labeller(config, scout.oracle), clock),
            rewards=scout.rewards,
            replay=ReplayService(self.cluster.data, scout.oracle, scout.rewards, self._wait_s),
            learner=TakingTurns(learning, self.cluster.rollout, self._wait_s) if config.cluster.colocate else learning,
            weights=WeightService(sync, clock),
            evaluate=Evaluation(self.held_out, scout.sampler, scout.rewards, self.cluster.oracle, config, clock),
            journal=journal,
        )

    def _journal(self, learner: LearnerGroup, scout: Scout) -> RunJournal:
        directory = self.directory
        return RunJournal(
            config=self.config.run,
            groups=GroupStore(directory.groups),
            metrics=Metrics(
                MetricsLog(directory.metrics),
                sinks(self.config.run.sinks, directory.path, directory.config),
                self.progress.note,
            ),
            checkpoints=Checkpoints(directory.checkpoints, self.config.run.keep),
            progress=self.progress,
            clock=self.clock,
            learner=learner,
            data=self.cluster.data,
            scout=scout,
            oracle=self.cluster.oracle,
            actors=self.cluster.actors,
            wait_s=self._wait_s,
            replay=self.config.replay is not None,
            has_dev_set=self.config.data.dev_set is not None,
        )

    def _new_batch(self, step: int) -> Batch:
        fresh, rollout = self.config.fresh_at(step), self.config.rollout
        contrast = not isinstance(self.config.advantage, GaeAdvantage)
        return Batch(step, fresh, rollout.refill, self.advantages, contrast, rollout.prompts - fresh)

    async def _steps(self, journal: RunJournal) -> AsyncIterator[int]:
        """The steps still to do; ends early where somebody asked to stop, or no label can be had any more."""
        for step in range(self.start.step + 1, self.config.run.steps + 1):
            if self.stopping:
                return
            if journal.label_budget_spent:
                self.progress.note("the label budget is spent: stopping; raise label.budget.total to go on")
                return
            self.progress.start(step)
            self.stepping = True
            yield step

    def _interrupted(self, attempt: "asyncio.Task[None]") -> None:
        """First: finish this step, save, stop. Second, or before the first step: stop now."""
        if self.stopping or not self.stepping:
            attempt.cancel()
        else:
            self.stopping = True
            self.progress.note("stopping after this step, with a checkpoint; once more to stop now")

    def _drill_prompts(self) -> list[Prompt]:
        data = self.config.data
        return [row.prompt for row in islice(read(data.train, data.form), DRILL_PROMPTS)]

    @property
    def _wait_s(self) -> float:
        return self.config.cluster.wait_s
