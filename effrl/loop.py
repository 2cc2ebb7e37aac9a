"""The loop: select → roll out → read → label → score (→ replay) → learn → publish, step after step.

Everything it calls is a protocol (:mod:`effrl.protocols`): :mod:`actors` makes them true on a cluster, tests with
fakes in milliseconds.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from effrl.batch import Batch
from effrl.protocols import Journal, Labeller, Learner, Replay, Rewards, Rollouts, Weights


class Evaluate(Protocol):
    async def __call__(self, step: int) -> Mapping[str, float]:
        """Metrics of the held-out prompts, empty where no evaluation is due."""
        ...


@dataclass(frozen=True)
class Services:
    """What one run works with."""

    steps: Callable[[], AsyncIterator[int]]
    """The steps still to do: resume point, last step and the wish to stop."""
    new_batch: Callable[[int], Batch]
    rollouts: Rollouts
    labeller: Labeller
    rewards: Rewards
    replay: Replay
    learner: Learner
    weights: Weights
    evaluate: Evaluate
    journal: Journal


async def train(s: Services) -> None:
    """Run every remaining step; each ends with one commit of metrics, fates and, where due, a checkpoint."""
    async for step in s.steps():
        batch = s.new_batch(step)
        while batch.missing:
            groups = await s.rollouts.take(step, batch.missing)
            s.journal.rolled(step, groups)
            read = await s.rewards.read(groups)
            judged = await s.labeller.assign(step, read)
            batch.add(await s.rewards.outcome(judged))
        batch.replay(await s.replay.draw(step, batch.replays))
        update = await s.learner.step(batch)
        publication = await s.weights.publish(update)
        await s.journal.commit(batch, update, publication, await s.evaluate(step))
