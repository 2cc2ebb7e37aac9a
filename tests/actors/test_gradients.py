"""The gradient does not depend on how a step is cut into micro-batches or ranks (DESIGN, invariant 5)."""

from pathlib import Path

import numpy as np
import pytest
from by_hand import start_learner, stop
from numpy.typing import NDArray
from planted import OpenRank

from actors.weights import LearnerGroup
from effrl.config import LearnConfig
from effrl.packing import MicroBatch, cut, pad
from effrl.types import Sequence

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
Gradients = dict[str, NDArray[np.float32]]


def batch() -> list[Sequence]:
    """Sixteen sequences of very different lengths."""
    rng = np.random.default_rng(0)
    lengths = [int(n) for n in rng.integers(1, 60, 16)]
    return [
        Sequence(
            rng.integers(3, 90, 6 + n).astype(np.int32),
            6,
            rng.normal(-4.5, 0.2, n).astype(np.float32),
            np.full(n, rng.normal(), np.float32),
        )
        for n in lengths
    ]


def one_each(sequences: list[Sequence]) -> list[MicroBatch]:
    return [pad([sequence]) for sequence in sequences]


def cuts(ranks: int) -> dict[str, list[list[MicroBatch]]]:
    """Ways to cut the same step; on two ranks one of them has fewer micro-batches, or none."""
    s = batch()
    if ranks == 1:
        return {
            "one": cut(s, 1, 10**6),
            "three": cut(s, 1, 400),
            "sixteen": [one_each(s)],
            "uneven": [[pad(s[:1]), pad(s[1:12]), pad(s[12:])]],
        }
    return {
        "balanced": cut(s, 2, 10**6),
        "balanced small": cut(s, 2, 200),
        "one rank with fewer": [one_each(s[:13]), [pad(s[13:])]],
        "one rank with none": [[pad(s[:5]), pad(s[5:])], cut(s[:1], 2, 400)[1]],
    }


async def gradients(learner: LearnerGroup, shares: list[list[MicroBatch]]) -> tuple[Gradients, dict[str, float]]:
    tokens = sum(len(sequence.logprobs) for sequence in batch())
    metrics = await learner.scatter("step", shares, tokens)
    return await learner.first("gradients"), metrics


@pytest.mark.parametrize("clip_norm", [1e9, 0.1], ids=["before clipping", "after clipping"])
async def test_any_cut_gives_the_same_gradient(
    local_ray: None, models: dict[str, Path], tmp_path: Path, clip_norm: float
) -> None:
    """A learning rate of 1e-30 leaves the weights as they are, to the bit: every step starts from the same ones."""
    config = LearnConfig(lr=1e-30, betas=(0.0, 0.95), clip_norm=clip_norm)
    found: dict[str, tuple[Gradients, dict[str, float]]] = {}
    for ranks in (1, 2):
        learner = await start_learner(OpenRank, ranks, models["tied"], tmp_path, config)
        try:
            for name, shares in cuts(ranks).items():
                found[f"{ranks} rank(s), {name}"] = await gradients(learner, shares)
        finally:
            stop(dict(learner.ranks))
    reference, metrics = found.pop("1 rank(s), one")
    largest = max(float(np.abs(value).max()) for value in reference.values())
    norm = np.sqrt(sum(float((value.astype(np.float64) ** 2).sum()) for value in reference.values()))
    assert largest > 0 and metrics["policy/grad_norm"] > 0.1, "otherwise nothing would be clipped"
    assert norm == pytest.approx(min(metrics["policy/grad_norm"], clip_norm), rel=1e-4)
    for name, (actual, its_metrics) in found.items():
        worst = max(float(np.abs(actual[key] - value).max()) for key, value in reference.items())
        assert worst <= 1e-5 * largest, f"{name}: off by {worst / largest:.1e} of the largest gradient"
        for key, value in metrics.items():
            assert its_metrics[key] == pytest.approx(value, rel=1e-4, abs=1e-6), f"{name}: {key}"
