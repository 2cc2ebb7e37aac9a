"""The gradient does not depend on how a step is cut into micro-batches or ranks (docs/design.md, invariant 5)."""

from pathlib import Path

import numpy as np
import pytest
from by_hand import start_learner, stop
from numpy.typing import NDArray
from planted import OpenRank

from actors.learner.group import LearnerGroup
from effrl.config.learn import LearnConfig
from effrl.config.loss import AnyLoss, CispoLoss, ClippedLoss, GspoLoss
from effrl.learn.packing import MicroBatch, cut, pad, size_of
from effrl.types import TrainingSequence

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
Gradients = dict[str, NDArray[np.float32]]
MAX_TOKENS = 60


def batch() -> list[TrainingSequence]:
    """Sixteen sequences of very different lengths."""
    rng = np.random.default_rng(0)
    lengths = [int(n) for n in rng.integers(1, 60, 16)]
    return [
        TrainingSequence(
            rng.integers(3, 90, 6 + n).astype(np.int32),
            6,
            rng.normal(-4.5, 0.2, n).astype(np.float32),
            np.full(n, rng.normal(), np.float32),
        )
        for n in lengths
    ]


def one_each(sequences: list[TrainingSequence]) -> list[MicroBatch]:
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


async def gradients(
    learner: LearnerGroup, shares: list[list[MicroBatch]], loss: AnyLoss
) -> tuple[Gradients, dict[str, float]]:
    """Of one update over the whole batch, however it is cut.

    A learning rate of 1e-30 leaves the weights as they are, to the bit: every step starts from the same ones.
    """
    size = size_of(batch(), loss.reduce, MAX_TOKENS)
    metrics = await learner.scatter("step", [[share] for share in shares], [size], 1e-30)
    return await learner.first("gradients"), metrics


@pytest.mark.parametrize(
    ("loss", "clip_norm"),
    [
        pytest.param(ClippedLoss(), 1e9, id="before clipping"),
        pytest.param(ClippedLoss(), 0.1, id="after clipping"),
        pytest.param(GspoLoss(reduce="sequence", kl=0.1), 1e9, id="sequences, KL"),
        pytest.param(CispoLoss(reduce="constant"), 1e9, id="constant"),
    ],
)
async def test_any_cut_gives_the_same_gradient(
    local_ray: None, models: dict[str, Path], tmp_path: Path, loss: AnyLoss, clip_norm: float
) -> None:
    config = LearnConfig(betas=(0.0, 0.95), clip_norm=clip_norm)
    reference = models["untied"] if loss.kl else None
    found: dict[str, tuple[Gradients, dict[str, float]]] = {}
    for ranks in (1, 2):
        learner = await start_learner(OpenRank, ranks, models["tied"], tmp_path, config, loss, reference)
        try:
            for name, shares in cuts(ranks).items():
                found[f"{ranks} rank(s), {name}"] = await gradients(learner, shares, loss)
        finally:
            stop(dict(learner.ranks))
    reference_gradient, metrics = found.pop("1 rank(s), one")
    largest = max(float(np.abs(value).max()) for value in reference_gradient.values())
    norm = np.sqrt(sum(float((value.astype(np.float64) ** 2).sum()) for value in reference_gradient.values()))
    assert largest > 0 and metrics["policy/grad_norm"] > 0.1, "otherwise nothing would be clipped"
    assert norm == pytest.approx(min(metrics["policy/grad_norm"], clip_norm), rel=1e-4)
    assert ("loss/kl" in metrics) == (loss.kl > 0) and metrics.get("loss/kl", 1.0) > 0
    for name, (actual, its_metrics) in found.items():
        worst = max(float(np.abs(actual[key] - value).max()) for key, value in reference_gradient.items())
        assert worst <= 1e-5 * largest, f"{name}: off by {worst / largest:.1e} of the largest gradient"
        for key, value in metrics.items():
            assert its_metrics[key] == pytest.approx(value, rel=1e-4, abs=1e-6), f"{name}: {key}"


async def test_later_updates_are_clipped_against_the_policy_before_the_first(
    local_ray: None, models: dict[str, Path], tmp_path: Path
) -> None:
    """Two updates in one call equal two calls, the second of which is told the log-probs of before the first."""
    learner = await start_learner(OpenRank, 1, models["tied"], tmp_path, LearnConfig())
    sequences, rate = batch(), 1e-3
    parts = [sequences[:8], sequences[8:]]
    sizes = [size_of(part, "token", MAX_TOKENS) for part in parts]
    first, second = ([pad(part[:3]), pad(part[3:])] for part in parts)

    async def weights() -> str:
        _, manifest = await learner.first("snapshot")
        return str(manifest.checksum)

    try:
        await learner.scatter("step", [[first]], sizes[:1], rate)  # so that there is an optimizer's state to save
        await learner.all("save", tmp_path / "start")
        together = await learner.scatter("step", [[first, second]], sizes, rate)
        expected = await weights()

        await learner.all("restore", tmp_path / "start")
        [old] = await learner.all("with_old", second)
        alone = await learner.scatter("step", [[first]], sizes[:1], rate)
        later = await learner.scatter("step", [[old]], sizes[1:], rate)
        told = await weights()

        await learner.all("restore", tmp_path / "start")
        await learner.scatter("step", [[first]], sizes[:1], rate)
        on_policy = await learner.scatter("step", [[second]], sizes[1:], rate)
        untold = await weights()
    finally:
        stop(dict(learner.ranks))
    assert told == expected != untold
    largest = max(alone.pop("mismatch/weight_max"), later.pop("mismatch/weight_max"))
    assert together.pop("mismatch/weight_max") == largest
    assert together == {name: pytest.approx((alone[name] + later[name]) / 2, rel=1e-12) for name in together}
    assert alone["policy/clip_fraction"] == on_policy["policy/clip_fraction"] == 0 < later["policy/clip_fraction"]


async def test_the_divergence_is_from_the_initial_model_after_a_resume_too(
    local_ray: None, models: dict[str, Path], tmp_path: Path
) -> None:
    loss, config = ClippedLoss(kl=0.1), LearnConfig()
    share, sizes = [[[pad(batch())]]], [size_of(batch(), "token", MAX_TOKENS)]
    learner = await start_learner(OpenRank, 1, models["tied"], tmp_path, config, loss, models["tied"])
    try:
        before = await learner.scatter("step", share, sizes, 1e-3)
        (tmp_path / "step_1").mkdir()
        await learner.all("save", tmp_path / "step_1")
        expected = await learner.scatter("step", share, sizes, 1e-3)
    finally:
        stop(dict(learner.ranks))
    resumed = await start_learner(OpenRank, 1, tmp_path / "step_1" / "hf", tmp_path, config, loss, models["tied"])
    try:
        await resumed.all("restore", tmp_path / "step_1")
        assert await resumed.scatter("step", share, sizes, 1e-3) == expected
    finally:
        stop(dict(resumed.ranks))
    assert before["loss/kl"] == 0 < expected["loss/kl"]
