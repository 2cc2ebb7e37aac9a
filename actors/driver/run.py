"""The driver: brings the actors up, proves the weights, runs the loop, and takes everything down again."""

import asyncio
import signal
import time
from dataclasses import dataclass, field
from itertools import islice

from actors.cluster import Cluster
from actors.data.service import DataPart, ReplayService
from actors.driver.asking import PolicyAsks
from actors.driver.certainty import CertaintyService
from actors.driver.drill import Drill
from actors.driver.evaluation import Evaluation, held_out
from actors.driver.exporter import RayExporter
from actors.driver.feedback import FeedbackService
from actors.driver.journal import RunJournal
from actors.driver.labelling import TimedLabeller
from actors.driver.pools import StagePools
from actors.driver.recruits import Recruits
from actors.driver.replacements import Replacements
from actors.driver.rollouts import RolloutService
from actors.driver.sampler import Sampler
from actors.driver.scout import Scout
from actors.driver.stages import Followers, StagedRun
from actors.driver.stall import StallWatch
from actors.driver.transports import IpcTransport, ShmTransport, TakingTurns
from actors.driver.usage import UsageWatch
from actors.driver.watchdog import Watchdog
from actors.driver.weights import WeightService, WeightSync
from actors.learner.group import LearnerGroup
from actors.learner.service import LearnerService
from actors.oracle.service import MonitorService, OracleService
from actors.prm.service import PrmService
from actors.prm.turns import PrmInTurns
from actors.ranks.group import RankGroup
from actors.reward.service import RewardService
from actors.session import is_own
from actors.wait import TIMELINE, answer
from effrl.config.schema import Config
from effrl.data.reader import pools as data_pools
from effrl.data.reader import prompts_of, read
from effrl.label.build import labeller
from effrl.label.parked import NoParking, ParkedGroups
from effrl.learn.canary import tolerance
from effrl.loop import Services, run
from effrl.preflight.check import Preflight
from effrl.process.build import process_rewards
from effrl.process.none import RestingProcess
from effrl.protocols import Learner, Part, ProcessRewards, Stages
from effrl.report.progress import Progress
from effrl.run import metrics
from effrl.run.checkpoint import Checkpoints
from effrl.run.directory import RunDirectory
from effrl.run.groups import GroupStore
from effrl.run.metrics import Metrics, MetricsLog, Stopwatch
from effrl.run.recording import spans_of
from effrl.run.resume import StartPoint
from effrl.run.sinks import sinks
from effrl.run.timeline import DRIVER, Timeline
from effrl.run.uploads import NoUploads, Uploads
from effrl.select.build import form_of
from effrl.select.ufo.records import ScoreRecords
from effrl.stages import BASE, OneStage, TrainingStage
from effrl.types import Prompt, Step

DRILL_PROMPTS = 8
ROOM = 64
"""Groups that a rollout worker has at a time where they are sampled one by one: enough to keep an engine full, and few
enough that another worker is not out of work before it."""


@dataclass
class Driver:
    """One attempt at a run."""

    config: Config
    directory: RunDirectory
    preflight: Preflight
    start: StartPoint
    progress: Progress
    cluster: Cluster
    uploads: Uploads = field(default_factory=NoUploads)

    def __post_init__(self) -> None:
        spans = spans_of(self.directory.profile, DRIVER)
        self.timeline = Timeline(keep=spans.append) if spans else Timeline()
        self.clock = Stopwatch(tell=self.progress.stage, timeline=self.timeline)
        self.stepping = False
        self.cut_short = False
        self.stopping = False
        self.step = 0  # the last that was begun
        self.given_up = False  # whether it ended before its groups had labels

    async def run(self) -> bool:
        """Everything between a connected Ray and the end of the run; the actors are the caller's to stop.

        Returns:
            Whether the run is finished.
        """
        attempt = asyncio.current_task()
        assert attempt is not None, "runs as a task"
        beat = [asyncio.create_task(Watchdog(self.cluster.stopped, self.cluster.end, self.progress.note).watch())]
        TIMELINE.set(self.timeline)
        for number, handler in ((signal.SIGINT, self._interrupted), (signal.SIGTERM, self.terminated)):
            asyncio.get_running_loop().add_signal_handler(number, handler, attempt)
        found = self.preflight
        judge = found.judge.path if found.judge else None
        ready = await self.cluster.start(self.start.model, found.model.path, found.context, self.start.version, judge)
        for line in (ready, *await answer(self.cluster.data.notes.remote(), self._wait_s, "notes", "data")):
            self.progress.note(line)
        if self.config.label.caution:
            self.progress.note(self.config.label.caution)
        if self.config.label.oracle.asks_people:
            place = self.config.label.ledger if self.config.label.is_remote else None
            self.progress.note(f"people answer in the inbox: {place or f'effrl labels serve {self.directory.path}'}")
        services = self._build()
        await self.group.all("sees", self.directory.config.absolute())
        await self._resume_stage()
        await self.start.restore(self.parts)
        if self.cluster.took_over:
            await self.sync.hand_out(self.start.version)  # the engines still serve the run before
        await self._drill(self.sync)
        await self.journal.usage.metrics()  # what the start-up used is in no row
        watch = StallWatch(lambda: self.progress.waits, self.journal.metrics.newest, self.progress.note)
        beat.append(asyncio.create_task(watch.watch()))
        if not self.config.cluster.colocate and (self.config.cluster.rollout.max or not is_own()):
            recruits = Recruits(
                self.cluster,
                self.rollouts.sampler,
                self.config.cluster.most_rollout_workers,
                self.progress.note,
            )
            beat.append(asyncio.create_task(recruits.watch()))
        try:
            if self.start.step == 0:
                await self.journal.base(self.start.version, await services.evaluate(BASE))
            await self.go_through(services)
            if not self.stopping:
                await self.uploads.settled()  # parked groups are files that may be on their way
                await self.parked.close()
        finally:
            for task in beat:
                task.cancel()
            self.journal.given_up(await self.rollouts.cancel())
            self.timeline.flush()
            await asyncio.to_thread(self.journal.metrics.close)  # a sink may wait for its server; the loop must not
        return not self.cut_short

    async def go_through(self, services: Services) -> None:
        """The loop; where it gives a step up (:meth:`terminated`), what the last commit had is saved."""
        self.loop = asyncio.ensure_future(run(services))
        try:
            await self.loop
        except asyncio.CancelledError:
            if not self.given_up:
                raise
            await self._save_last_commit()

    async def _save_last_commit(self) -> None:
        """A checkpoint in the middle of a step: all parts are as they were before it, and a resume repeats it."""
        if self.step != self.journal.committed:
            self.parked.take_back()
            await answer(self.cluster.data.take_back.remote(), self._wait_s, "taking a step back", "data")
        await self.journal.save()

    def _build(self) -> Services:
        """Make every part of the run, once."""
        config, cluster, clock, wait_s = self.config, self.cluster, self.clock, self._wait_s
        self.group = LearnerGroup(cluster.learner, wait_s)
        own = LearnerService(self.group, config, self.start.version, clock, self.preflight.context)
        learner: Learner = TakingTurns(own, cluster.rollout, wait_s) if config.cluster.colocate else own
        carry = IpcTransport if config.cluster.colocate else ShmTransport
        tolerated = tolerance(config.model.dtype, config.run.sync_tolerance)
        self.sync = WeightSync(carry(self.group, cluster.rollout, wait_s), tolerated)
        sampler = Sampler(
            cluster.rollout,
            wait_s,
            None if config.cluster.colocate else Replacements(cluster, self.sync),
            config.cluster.rollout.min,
            1 if not any(part.rollout.max_staleness for part in config.parts) else ROOM,
            config.cluster.most_rollout_workers,
            self.start.version,
            self.progress.note,
        )
        oracle = OracleService(cluster.oracle, wait_s)
        reads_clusters, longest = config.label.reads_clusters, config.rollout.max_tokens
        rewards = RewardService(cluster.reward, clock, wait_s, config.reward, longest, reads_clusters)
        certainty = CertaintyService(learner, sampler, self.preflight.context)
        form = form_of(config, self.preflight.train)
        records = ScoreRecords(self.directory.scores, self.preflight.model.path)
        scout = Scout(cluster.data, sampler, rewards, oracle, config, form, clock, certainty, records)
        self.rollouts = RolloutService(
            cluster.data, sampler, config, self.start.attempt, clock, scout, refills=self._refills_before()
        )
        monitor = MonitorService(cluster.oracle, config.reward, clock, wait_s, config.label.monitor)
        self.labeller = TimedLabeller(labeller(config, oracle, monitor), clock)
        self.parked, process = self._parking(oracle), RestingProcess(self._process(learner))
        feedback = FeedbackService(cluster.data, monitor, config.replay is not None, clock, wait_s)
        parts: tuple[Part, ...] = (own, DataPart(cluster.data, wait_s), self.labeller, self.parked, process)
        asks = PolicyAsks(sampler, rewards, oracle, monitor, config, self.preflight.context, clock)
        told = (cluster.data, cluster.oracle, own, self.rollouts, scout, rewards, feedback, process, self.labeller)
        followers = Followers(*told, self.preflight.train, wait_s)
        self.stages = self._stages(followers, oracle, monitor, asks)
        self.parts = (*parts, self.stages) if isinstance(self.stages, StagedRun) else parts
        self.journal = self._journal()
        return Services(
            stages=self.stages,
            rollouts=self.rollouts,
            rewards=rewards,
            parked=self.parked,
            replay=ReplayService(cluster.data, oracle, rewards, wait_s),
            process=process,
            learner=learner,
            weights=WeightService(self.sync, sampler, clock),
            feedback=feedback,
            evaluate=Evaluation(held_out(config), sampler, rewards, cluster.oracle, config, clock),
            journal=self.journal,
        )

    def _stages(self, followers: Followers, oracle: OracleService, monitor: MonitorService, asks: PolicyAsks) -> Stages:
        """What the run goes through."""
        config, after = self.config, self.start.step + 1
        if not config.stages:
            return OneStage(TrainingStage(config, self.labeller, self._go_on, after))
        asked, labelled = (
            [prompt for pool in data_pools(config.data.train) for prompt in prompts_of(pool, config.data.form, only)]
            for only in (config.labelled_only, True)
        )
        pools = StagePools(
            config=config,
            folder=self.directory.stages,
            prompts={prompt.id: prompt for prompt in asked},
            labelled=frozenset(prompt.id for prompt in labelled),
            asks=asks,
            progress=self.progress,
        )
        return StagedRun(
            config=config,
            followers=followers,
            pools=pools,
            oracle=oracle,
            make=lambda part: labeller(part, oracle, monitor),
            go_on=self._go_on,
            progress=self.progress,
            policy=lambda: Checkpoints(self.directory.checkpoints, config.run.keep).policy(config.model.path),
        )

    async def _resume_stage(self) -> None:
        """Go back into the stage of the checkpoint, so that its parts find the selector and labeller they were of."""
        known = self.start.parts.get("stages")
        if isinstance(self.stages, StagedRun) and known is not None:
            await self.stages.resume(self.start.step, known.state)

    def _parking(self, oracle: OracleService) -> NoParking | ParkedGroups:
        """Where groups wait whose label comes late."""
        label = self.config.label
        if not label.oracle.comes_late:
            return NoParking()
        watched = (lambda: self.stopping, lambda: self.clock.stage("people"))
        return ParkedGroups(oracle, self.directory.parked, label.wait_s, *watched)

    def _process(self, learner: Learner) -> ProcessRewards:
        """Who gives single tokens a reward."""
        config, cluster = self.config, self.cluster
        if config.prm is None:
            return process_rewards(config)
        ranks = RankGroup(cluster.prm, self._wait_s)
        prm = PrmService(ranks, config.prm, config.prm_pass_tokens, learner, self.clock)
        return PrmInTurns(prm, cluster.rollout) if config.cluster.colocate else prm

    async def _drill(self, sync: WeightSync) -> None:
        """Prove the path of the weights before the first rollout; what nothing could prove is said."""
        prompts = await self.rollouts.sampler.any("render", self._drill_prompts(), what="rendering prompts")
        began = time.monotonic()
        kinds, unproven = await Drill(sync, self.start.version, prompts).run()
        doubt = f", except {', '.join(unproven)}: nothing moves with them" if unproven else ""
        self.progress.note(
            f"weights: {kinds} kinds of parameters perturbed, published and found served in"
            f" {time.monotonic() - began:.0f} s{doubt}"
        )

    def _journal(self) -> RunJournal:
        directory = self.directory
        return RunJournal(
            config=self.config.run,
            groups=GroupStore(directory.groups),
            metrics=Metrics(
                MetricsLog(directory.metrics),
                [
                    *sinks(self.config.run.sinks, directory.path, directory.config),
                    RayExporter(directory.path.name),
                ],
                self.progress.note,
            ),
            checkpoints=Checkpoints(directory.checkpoints, self.config.run.keep),
            uploads=self.uploads,
            progress=self.progress,
            clock=self.clock,
            parts=self.parts,
            rollouts=self.rollouts,
            oracle=self.cluster.oracle,
            usage=UsageWatch(self.cluster.usage),
            timeline=self.timeline,
            wait_s=self._wait_s,
            has_dev_set=self.config.data.dev_set is not None,
        )

    def _go_on(self, step: Step) -> bool:
        """Whether to do another step: not where somebody asked to stop, or no group can have a label any more."""
        self.cut_short = True
        if self.stopping:
            return False
        if self.journal.budget.exhausted:
            self.progress.note("no label is owned, and the budget buys none: stopping; raise label.budget.total")
            return False
        self.progress.start(step.number)
        self.stepping, self.cut_short, self.step = True, False, step.number
        return True

    def _interrupted(self, attempt: "asyncio.Task[None]") -> None:
        """First: finish this step, save, stop. Second, or before the first step: stop now."""
        if self.stopping or not self.stepping:
            attempt.cancel()
        else:
            self.stopping = True
            self.progress.note("stopping after this step, with a checkpoint; once more to stop now")

    def terminated(self, attempt: "asyncio.Task[None]") -> None:
        """Whoever ends processes (Ray Jobs, Kubernetes, a batch system) kills soon: save the last commit at once.

        A step may be given up until its groups get labels. From then on labeller, PRM and policy change, and no part
        but the whole step can be taken back: it is finished, which asks for no more rollouts but refills.
        """
        if not self.stepping:
            attempt.cancel()
        elif not self.given_up:
            self.stopping = True
            between_steps = self.step == self.journal.committed
            if self.journal.is_saved if between_steps else self.labeller.judged != self.step:
                self.given_up = self.cut_short = True
                self.loop.cancel()
            told = f"step {self.step} is given up" if self.given_up else f"step {self.step} is finished"
            self.progress.note(f"stopping: {'' if between_steps else f'{told}, and then '}a checkpoint is written")

    def _refills_before(self) -> int:
        """Groups that the last committed step drew in place of others: a resumed run expects what an unbroken one
        does."""
        rows = metrics.read(self.directory.metrics)
        if not self.start.step or not rows:
            return 0
        return max(0, rows[-1]["groups/rolled"] - self.config.fresh_at(self.start.step))

    def _drill_prompts(self) -> list[Prompt]:
        data = self.config.data
        return [row.prompt for row in islice(read(data.train, data.form), DRILL_PROMPTS)]

    @property
    def _wait_s(self) -> float:
        return self.config.cluster.wait_s
