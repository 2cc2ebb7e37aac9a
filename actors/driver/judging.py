"""A judge's scores of held-out samples, by which one of each prompt's samples is picked."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from actors.cluster import Cluster
from actors.ranks.group import RankGroup
from effrl.config.learn import CPU_PASS_TOKENS
from effrl.evaluation import Graded
from effrl.learn.packing import unweighted
from effrl.preflight.judge import Judge
from effrl.sequences import TrainingSequence
from effrl.types import Group


async def judged(
    sets: Mapping[str, Sequence[Graded]], judge: Judge, cluster: Cluster, tell: Callable[[str], None]
) -> dict[str, list[Graded]]:
    """The sets with what a process reward model makes of each sample; minus infinity of one without tokens.

    Args:
        cluster: whose engines have done their work: the judge takes their place.
        tell: is told what is waited for.
    """
    tell("starting the PRM")
    ranks = RankGroup(await cluster.judged_by(judge), cluster.config.cluster.wait_s)
    sequences = [row for graded in sets.values() for entry in graded for row in _sequences(entry.read.group)]
    tell(f"the PRM reads {len(sequences):,} samples")
    scores = iter(await ranks.rows("score", sequences, _pass_tokens(judge, cluster)))
    return {
        name: [replace(entry, prm=_in_place(entry.read.group, scores)) for entry in graded]
        for name, graded in sets.items()
    }


def _sequences(group: Group) -> list[TrainingSequence]:
    """Prompt and completion of each sample that has tokens."""
    prompt = group.prompt_ids
    completions = [rollout.token_ids for rollout in group.rollouts if len(rollout.token_ids)]
    return [unweighted(np.concatenate([prompt, tokens]), len(prompt)) for tokens in completions]


def _in_place(group: Group, scores: Iterator[float]) -> tuple[float, ...]:
    """One score per sample: the next one, where it has tokens."""
    return tuple(next(scores) if len(rollout.token_ids) else -math.inf for rollout in group.rollouts)


def _pass_tokens(judge: Judge, cluster: Cluster) -> int:
    limit = judge.process.learn.micro_batch_tokens
    return limit if cluster.config.cluster.rollout.gpus else min(limit, CPU_PASS_TOKENS)
