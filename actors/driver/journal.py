"""The journal of a run: metrics, fates and checkpoints, committed once per step."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.driver.labelling import BudgetWatch, account_metrics
from actors.driver.rollouts import RolloutService
from actors.driver.usage import UsageWatch
from actors.wait import answer
from effrl.advice.advise import advise, marks
from effrl.batch import Batch, Settled
from effrl.config.schema import RunConfig
from effrl.label.agreement import agreement
from effrl.protocols import Part
from effrl.questions import Account
from effrl.report.progress import Progress
from effrl.run.checkpoint import Checkpoint, Checkpoints
from effrl.run.groups import GroupStore
from effrl.run.metrics import Metrics, Stopwatch
from effrl.run.timeline import Timeline
from effrl.run.uploads import Uploads
from effrl.types import Group, Publication, Step, Update


@dataclass
class RunJournal:
    """Consumes every step's results; produces the run directory, in an order that a crash cannot confuse.

    Fates first, then metrics, then the checkpoint: a resume from the last checkpoint takes back what is newer.
    """

    config: RunConfig
    groups: GroupStore
    metrics: Metrics
    checkpoints: Checkpoints
    uploads: Uploads
    progress: Progress
    clock: Stopwatch
    parts: Sequence[Part]
    """What a checkpoint is made of."""
    rollouts: RolloutService
    oracle: Any
    usage: UsageWatch
    timeline: Timeline
    wait_s: float
    has_dev_set: bool
    """Whether ``eval/accuracy`` may choose the best checkpoint: it is not of a set to test on."""
    committed: int = 0
    """The last step that is committed whole, its checkpoint included where one was due."""
    _unsaved: Update | None = None
    _accuracy: float | None = None
    """Of the unsaved update, on the dev set."""

    def __post_init__(self) -> None:
        self.budget = BudgetWatch(self.progress.note)

    def rolled(self, step: Step, groups: Sequence[Group]) -> None:
        self.groups.rolled(step.number, groups)

    def given_up(self, ahead: Mapping[int, Sequence[Group]]) -> None:
        """Count the groups that were sampled ahead, by step, for steps which did not come."""
        for step, groups in ahead.items():
            self.groups.given_up(step, groups)

    async def base(self, version: int, evaluation: Mapping[str, float]) -> None:
        """Row 0: the model before the first step."""
        await self._write({"step": 0, "policy/version": version, **evaluation})

    async def commit(
        self,
        step: Step,
        batch: Batch,
        update: Update,
        publication: Publication | None,
        learned: Mapping[str, float],
        evaluation: Mapping[str, float],
    ) -> None:
        with self.clock.stage("commit"):
            settled, late = [*batch.joined, *batch.settled], self.rollouts.stale
            self.groups.rolled(step.number, late)
            self.groups.commit(step.number, [*settled, *map(Settled.too_late, late)], batch.process)
            account: Account = await answer(self.oracle.account.remote(step.number), self.wait_s, "accounts", "oracle")
            row = {"step": step.number, **batch.metrics(len(late)), **self.rollouts.committed(step.number), **learned}
            row |= {**update.metrics, **account_metrics(account), **_sync_metrics(publication)}
            row |= {**agreement(settled), **evaluation, "policy/version": update.version}
            await self._write(row)
            self.budget.step(step, batch, update.learned, account)
            self._unsaved, self._accuracy = update, self._dev_accuracy(evaluation)
            if step.number % self.config.save_every == 0:
                await self.save()
        self.committed = step.number

    @property
    def is_saved(self) -> bool:
        """Whether there is a checkpoint of all that was committed."""
        return self._unsaved is None

    async def save(self) -> None:
        """Write a checkpoint of the last committed step, unless there is one: nothing that was learned is lost."""
        if self._unsaved is None:
            return
        step = self._unsaved.step
        await self.uploads.settled()  # a new checkpoint deletes old ones, which must not be on their way
        draft = await asyncio.to_thread(self.checkpoints.begin, step)
        saved = {part.name: await part.save(draft.absolute()) for part in self.parts}  # a worker's folder is another
        await asyncio.to_thread(self.checkpoints.seal, draft, Checkpoint(step, saved, self._accuracy))
        self._unsaved = None
        await self.uploads.begin(step)

    def _dev_accuracy(self, evaluation: Mapping[str, float]) -> float | None:
        accuracy = evaluation.get("eval/accuracy", math.nan)
        return accuracy if self.has_dev_set and math.isfinite(accuracy) else None

    async def _write(self, row: dict[str, Any]) -> None:
        row = {**row, **await self.usage.metrics(), **self._times(row), **self.uploads.metrics()}
        advice = advise(self.metrics, row)
        row |= marks(advice)
        self.metrics.write(row)
        for found in advice:
            if found.new:
                self.progress.note(str(found))
        self.progress.step_done(row)

    def _times(self, row: Mapping[str, Any]) -> dict[str, float | None]:
        times = self.clock.take()
        return {**times, "time/overhead_ratio": self.timeline.step(row["step"], times["time/step_s"])}


def _sync_metrics(publication: Publication | None) -> dict[str, float | bool | None]:
    if publication is None:
        return {}
    return {"sync/bytes": publication.bytes, "sync/verified": publication.verified, **publication.metrics}
