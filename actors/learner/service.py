"""The learner as the loop sees it: batches in, policy versions out."""

from collections.abc import Sequence
from dataclasses import dataclass

from actors.learner.group import LearnerGroup
from effrl.batch import Batch
from effrl.config.schema import Config
from effrl.errors import RunError
from effrl.learn.canary import choose
from effrl.learn.packing import cut, size_of
from effrl.learn.schedule import learning_rate
from effrl.run.metrics import Stopwatch
from effrl.types import (
    TrainingSequence,
    Update,
)


@dataclass
class LearnerService:
    """Takes optimizer steps; knows the policy version, which goes up by one per batch, however many updates it has."""

    group: LearnerGroup
    config: Config
    version: int
    clock: Stopwatch

    async def step(self, batch: Batch) -> Update:
        updates = batch.updates(self.config.learn.updates)
        staleness = self.version - min(rollout.version_min for rollout in batch.rollouts())
        if not 0 <= staleness <= self.config.rollout.max_staleness:
            raise RunError(
                f"step {batch.step} was sampled {staleness} versions ago,"
                f" and rollout.max_staleness is {self.config.rollout.max_staleness}"
            )
        if not updates:
            return Update(batch.step, self.version, False, {"policy/staleness_max": staleness})
        with self.clock.stage("learn"):
            canary = choose([sequence for update in updates for sequence in update])
            before = await self.group.first("logprobs", canary)
            metrics = await self._learn(batch.step, updates)
        self.version += 1
        metrics = {**metrics, "policy/staleness_max": staleness}
        return Update(batch.step, self.version, True, metrics, canary, before)

    async def _learn(self, step: int, updates: Sequence[Sequence[TrainingSequence]]) -> dict[str, float]:
        learn, ranks = self.config.learn, len(self.group.ranks)
        cuts = [cut(update, ranks, learn.micro_batch_tokens) for update in updates]
        shares = list(zip(*cuts, strict=True))  # per rank: its micro-batches of each update
        sizes = [size_of(update, self.config.loss.reduce, self.config.rollout.max_tokens) for update in updates]
        rate = learning_rate(learn, step, self.config.run.steps)
        metrics = await self.group.scatter("step", shares, sizes, rate)
        tokens = sum(size.tokens for size in sizes)
        return {**metrics, "learn/tokens": tokens, "learn/updates": len(updates), "learn/lr": rate}
