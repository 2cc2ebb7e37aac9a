"""Groups of the initial policy, rolled out to see whether their votes can be trusted. Nothing is bought."""

from collections.abc import Callable, Sequence

import numpy as np

from actors.cluster import Cluster
from actors.driver.evaluation import Evaluation, held_out
from actors.oracle.service import MonitorService
from actors.reward.service import RewardService
from actors.rollout.sampling import Sampler
from effrl.config.schema import Config
from effrl.label.buy.entropy import answer_entropy
from effrl.label.care.features import cluster_sizes
from effrl.label.voting import Votes
from effrl.preflight.check import Measurable
from effrl.run.metrics import Stopwatch
from effrl.types import ReadGroup

POOL = "train"
"""The training prompts, as the one set that is sampled."""


def sampling(config: Config, prompts: int) -> Config:
    """The config of a run as that of an evaluation: the first training prompts, sampled as in training."""
    pool = config.eval.model_copy(
        update={
            "prompts": prompts,
            "per_prompt": config.rollout.per_prompt,
            "temperature": None,
            "max_tokens": None,
        }
    )
    data = config.data.model_copy(update={"eval": {POOL: config.data.train}})
    return config.model_copy(update={"eval": pool, "data": data})


async def vote(config: Config, found: Measurable, cluster: Cluster, tell: Callable[[str], None]) -> Votes:
    """Roll out groups with actors of their own, which are the caller's to stop.

    Args:
        config: as :func:`sampling` makes it.
        cluster: one that is not learning.
        tell: is told what is waited for.
    """
    tell("starting the engines")
    await cluster.start(found.model.path, found.model.path, found.context, version=0)
    clock, wait_s = Stopwatch(), config.cluster.wait_s
    rewards = RewardService(cluster.reward, clock, wait_s, config.reward, config.rollout.max_tokens)
    evaluation = Evaluation(held_out(config), Sampler(cluster.rollout, wait_s), rewards, cluster.oracle, config, clock)
    tell(f"{len(evaluation.sets[POOL]):,} prompts x {config.rollout.per_prompt} rollouts")
    reads = await rewards.answers(await evaluation.sample(POOL))
    monitor = MonitorService(cluster.oracle, config.reward, clock, wait_s, on=True)
    return _votes(reads, *await monitor.right_votes(POOL, reads))


def _votes(reads: Sequence[ReadGroup], right: int, labelled: int) -> Votes:
    shares = {read.group.prompt.id: read.size(0) / len(read.clusters) for read in reads}
    entropies = [answer_entropy(cluster_sizes(read)) for read in reads]
    return Votes(shares, float(np.mean(entropies)), right, labelled)
