"""Updates after the first know the old policy from the labeller's view: the same step, in fewer passes."""

from typing import Any

import numpy as np
import pytest
from test_gradients import MAX_TOKENS, batch

from actors.learner.group import LearnerGroup
from actors.learner.old import OldLogprobs
from effrl.config.learn import LearnConfig
from effrl.config.loss import ClippedLoss
from effrl.learn.packing import MicroBatch, cut, layout, pad, size_of
from effrl.sequences import Portion, TrainingSequence
from effrl.types import Continuation

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
RATE = 1e-3
Weights = dict[str, np.ndarray[Any, np.dtype[np.float32]]]


async def viewed(learner: LearnerGroup, sequences: list[TrainingSequence], tokens: int) -> list[TrainingSequence]:
    """The sequences with what a view gives them, in micro-batches of so many tokens on one rank."""
    [places] = layout([len(sequence.ids) for sequence in sequences], 1, tokens)
    shares = [[pad([sequences[row] for row in rows]) for rows in places]] * len(learner.ranks)
    found, *_ = await learner.each("view", shares, 1.0, False)
    old, order = OldLogprobs(), [row for rows in places for row in rows]
    texts = [Continuation(sequences[row].ids, sequences[row].prompt_length) for row in order]
    old.note(0, texts, [logprobs for part in found for logprobs, _ in part])
    [known] = old.given(0, [sequences])
    assert all(sequence.old is not None for sequence in known)
    return known


async def learned(
    learner: LearnerGroup, updates: list[list[list[MicroBatch]]], parts: list[list[TrainingSequence]]
) -> tuple[Weights, dict[str, float], int]:
    """Gradients of the last update, metrics, and forward passes of the first rank; the learner is a fresh one."""
    loss = ClippedLoss()
    sizes = [size_of(Portion(part), loss, MAX_TOKENS) for part in parts]
    await learner.all("count_passes")
    metrics = await learner.scatter("step", list(zip(*updates, strict=True)), sizes, RATE)
    return await learner.first("gradients"), metrics, await learner.first("counted")


@pytest.mark.parametrize("tokens", [200, 300])
async def test_the_step_is_the_same(one_rank: LearnerGroup, tokens: int) -> None:
    """To the bit where the view packs as the update does; else as near as float32 is to itself."""
    sequences, config = batch(), LearnConfig.model_validate({"betas": (0.0, 0.95)})
    parts, found = [sequences[:8], sequences[8:]], []
    for reuse in (False, True):
        await one_rank.all("become", config, ClippedLoss())
        later = await viewed(one_rank, parts[1], tokens) if reuse else parts[1]
        updates = [cut(parts[0], 1, 300), cut(later, 1, 300)]
        found.append(await learned(one_rank, updates, parts))
    (scored, metrics, passes), (told, its_metrics, fewer) = found
    assert passes - fewer == len(updates[1][0]) and fewer == sum(len(shares[0]) for shares in updates)
    assert metrics["policy/clip_fraction"] > 0, "or nobody would miss the old policy"
    if tokens == 300:
        assert its_metrics == metrics and all(np.array_equal(scored[name], told[name]) for name in scored)
    largest = max(float(np.abs(value).max()) for value in scored.values())
    assert max(float(np.abs(scored[name] - told[name]).max()) for name in scored) <= 1e-5 * largest
    assert its_metrics == pytest.approx(metrics, rel=1e-5)


async def test_ranks_that_meet_in_every_pass_meet_without_scoring(two_ranks: LearnerGroup) -> None:
    """Under ZeRO-3, where one rank has nothing in the second update."""
    config = LearnConfig.model_validate({"betas": (0.0, 0.95), "zero": 3})
    sequences = batch()
    parts, found = [sequences[:8], sequences[8:9]], []
    for reuse in (False, True):
        await two_ranks.all("become", config, ClippedLoss())
        later = await viewed(two_ranks, parts[1], 300) if reuse else parts[1]
        found.append(await learned(two_ranks, [cut(parts[0], 2, 300), cut(later, 2, 300)], parts))
    (_, metrics, passes), (_, its_metrics, fewer) = found
    assert passes - fewer == 1 and its_metrics == metrics
