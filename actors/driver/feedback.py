"""What a step found out goes back to those who choose: the selector, the replay store and the labeller."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.wait import answer
from effrl.batch import Batch, Settled, outcomes_of
from effrl.protocols import Labeller, Monitor
from effrl.run.metrics import Stopwatch
from effrl.types import Fate, Observation, Step


@dataclass
class FeedbackService:
    """Tells the data actor and the labeller, and asks the monitor how good the decisions were."""

    data: Any
    monitor: Monitor
    keeps_groups: bool
    """Whether the data actor stores groups to replay; it gets them with all tokens."""
    clock: Stopwatch
    wait_s: float
    stage: Mapping[str, float | str] = field(default_factory=dict)
    """Of the stage of a run that has several: told with each of its steps."""
    prepared: Mapping[str, float] = field(default_factory=dict)
    """What the stage found out before its first step, which is told with that."""

    async def __call__(self, step: Step, batch: Batch, labeller: Labeller) -> Mapping[str, float]:
        settled = [*batch.joined, *batch.settled]
        with self.clock.stage("commit"):
            seen = [observed for entry in settled if (observed := _observation(entry)) is not None]
            kept = settled if self.keeps_groups else []
            taken = [entry.scored.group.prompt.id for entry in batch.settled]
            told = self.data.observe.remote(step.number, seen, taken, kept)
            known = await answer(told, self.wait_s, "feedback", "data")
            learned = await labeller.learn(step, settled)
        prepared, self.prepared = self.prepared, {}
        return {**known, **learned, **await self.monitor.metrics(settled), **self.stage, **prepared}


def _observation(settled: Settled) -> Observation | None:
    """Outcomes of a group, those of groups without signal included; None where none of its rollouts has one.

    A group that was dropped has none: how far its answers agree is what is known of it.
    """
    judged = settled.scored.judged
    if settled.fate is Fate.DROPPED:
        return Observation(judged.group.prompt, float(judged.read.size(0)), len(judged.read.clusters), trusted=False)
    outcomes = outcomes_of(settled.scored)
    trusted = judged.supervision is not None and judged.supervision.is_true
    return Observation(judged.group.prompt, float(sum(outcomes)), len(outcomes), trusted) if outcomes else None
