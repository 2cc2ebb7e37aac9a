"""The loop: select → roll out → read → view → label → score (→ parked, replay, process reward) → learn → publish.

Everything it calls is a protocol (:mod:`effrl.protocols`): :mod:`actors` makes them true on a cluster, tests with
fakes in milliseconds. Parts that are off are null objects, so that nothing is asked here.
"""

from dataclasses import dataclass

from effrl import protocols
from effrl.types import Step


@dataclass(frozen=True)
class Services:
    """What one run works with."""

    stages: protocols.Stages
    rollouts: protocols.Rollouts
    rewards: protocols.Rewards
    parked: protocols.Parked
    replay: protocols.Replay
    process: protocols.ProcessRewards
    learner: protocols.Learner
    weights: protocols.Weights
    feedback: protocols.Feedback
    evaluate: protocols.Evaluate
    journal: protocols.Journal


async def run(s: Services) -> None:
    """Go through the remaining stages; each ends with a checkpoint."""
    async for stage in s.stages.remaining():
        await stage.prepare()
        async for step in stage.steps():
            await train(s, stage, step)
        await s.journal.save()


async def train(s: Services, stage: protocols.Stage, step: Step) -> None:
    """Run one step; it ends with one commit of metrics, fates and, where due, a checkpoint."""
    batch = stage.batch(step)
    batch.join(await s.rewards.outcome(await s.parked.answered(step)), s.learner.version)
    while batch.missing:
        groups = await s.rollouts.take(step, batch.missing)
        s.journal.rolled(step, groups)
        read = await s.rewards.read(groups)
        views = await s.learner.view(read, stage.labeller.wants)
        judged = await stage.labeller.assign(step, read, views)
        batch.add(await s.rewards.outcome(await s.parked.keep(step, judged)))
    batch.replay(await s.replay.draw(step, batch.replays))
    batch.process = await s.process.reward(step, batch)
    update = await s.learner.step(step, batch)
    publication = await s.weights.publish(update)
    learned = await s.feedback(step, batch, stage.labeller)
    await s.journal.commit(step, batch, update, publication, learned, await s.evaluate(step))
