"""Groups of the initial policy, rolled out to see whether their votes can be trusted. Nothing is bought."""

from collections.abc import Callable, Sequence

import numpy as np

from actors.cluster import Cluster
from actors.driver.evaluation import started
from actors.oracle.service import MonitorService
from effrl.config.schema import Config
from effrl.label.buy.entropy import answer_entropy
from effrl.label.care.features import cluster_sizes
from effrl.label.voting import Votes
from effrl.preflight.check import Measurable
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
    """Roll out groups and read their votes.

    Args:
        config: as :func:`sampling` makes it; the other arguments are those of
            :func:`actors.driver.evaluation.started`.
    """
    evaluation = await started(config, found, cluster, tell)
    tell(f"{len(evaluation.sets[POOL]):,} prompts x {config.rollout.per_prompt} rollouts")
    reads = await evaluation.rewards.answers(await evaluation.sample(POOL))
    monitor = MonitorService(cluster.oracle, config.reward, evaluation.clock, config.cluster.wait_s, on=True)
    return _votes(reads, *await monitor.right_votes(POOL, reads))


def _votes(reads: Sequence[ReadGroup], right: int, labelled: int) -> Votes:
    shares = {read.group.prompt.id: read.majority_share for read in reads}
    entropies = [answer_entropy(cluster_sizes(read)) for read in reads]
    return Votes(shares, float(np.mean(entropies)), right, labelled)
