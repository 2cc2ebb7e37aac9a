"""The gradient does not depend on how a step is cut into micro-batches or ranks (docs/design.md, invariant 5)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actors.learner.group import LearnerGroup
from effrl.config.learn import LearnConfig
from effrl.config.loss import AnyLoss, CispoLoss, ClippedLoss, GspoLoss, PluginLoss
from effrl.errors import RunError
from effrl.learn.packing import MicroBatch, cut, pad, size_of
from effrl.sequences import Portion, TrainingSequence

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
Gradients = dict[str, NDArray[np.float32]]
MAX_TOKENS = 60


def batch() -> list[TrainingSequence]:
    """Sixteen sequences of very different lengths, every token with an advantage of its own; some count half, or not
    at all, and some have an offset."""
    rng = np.random.default_rng(0)
    lengths = [int(n) for n in rng.integers(1, 60, 16)]
    return [
        TrainingSequence(
            rng.integers(3, 90, 6 + n).astype(np.int32),
            6,
            rng.normal(-4.5, 0.2, n).astype(np.float32),
            rng.normal(size=n).astype(np.float32),
            weight=(1.0, 0.5, 1.0, 0.0)[place % 4],
            offset=(0.0, 0.25, -0.5)[place % 3],
        )
        for place, n in enumerate(lengths)
    ]


def silent() -> list[TrainingSequence]:
    """Three sequences of groups that nothing is learned from."""
    rng = np.random.default_rng(1)
    return [
        TrainingSequence(
            rng.integers(3, 90, 6 + n).astype(np.int32),
            6,
            rng.normal(-4.5, 0.2, n).astype(np.float32),
            np.zeros(n, np.float32),
            weight=0.0,
            silent=True,
        )
        for n in (7, 31, 2)
    ]


def passing(loss: AnyLoss) -> list[TrainingSequence]:
    """What goes through the model."""
    return [*batch(), *(silent() if loss.scores_silent else [])]


def one_each(sequences: list[TrainingSequence]) -> list[MicroBatch]:
    return [pad([sequence]) for sequence in sequences]


def cuts(s: list[TrainingSequence], ranks: int) -> dict[str, list[list[MicroBatch]]]:
    """Ways to cut the same step; on two ranks one of them has fewer micro-batches, or none."""
    if ranks == 1:
        return {
            "one": cut(s, 1, 10**6),
            "three": cut(s, 1, 400),
            "one each": [one_each(s)],
            "uneven": [[pad(s[:1]), pad(s[1:12]), pad(s[12:])]],
        }
    return {
        "balanced": cut(s, 2, 10**6),
        "balanced small": cut(s, 2, 200),
        "one rank with fewer": [one_each(s[:13]), [pad(s[13:])]],
        "one rank with none": [[pad(s[:5]), pad(s[5:])], cut(s[:1], 2, 400)[1]],
    }


async def gradients(
    learner: LearnerGroup, shares: list[list[MicroBatch]], portion: Portion, loss: AnyLoss
) -> tuple[Gradients, dict[str, float]]:
    """Of one update, however it is cut.

    A learning rate of 1e-30 leaves the weights as they are, to the bit: every step starts from the same ones.
    """
    size = size_of(portion, loss, MAX_TOKENS)
    metrics = await learner.scatter("step", [[share] for share in shares], [size], 1e-30)
    return await learner.first("gradients"), metrics


def learn(**fields: Any) -> LearnConfig:
    return LearnConfig.model_validate({"betas": (0.0, 0.95), "clip_norm": 1e9, **fields})


def difference(one: Gradients, other: Gradients) -> float:
    """The largest, of any parameter."""
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


@pytest.mark.parametrize(
    ("loss", "clip_norm"),
    [
        pytest.param(ClippedLoss(over="trained"), 1e9, id="before clipping"),
        pytest.param(ClippedLoss(), 0.1, id="after clipping"),
        pytest.param(GspoLoss(reduce="sequence", kl=0.1), 1e9, id="sequences, KL"),
        pytest.param(CispoLoss(reduce="constant"), 1e9, id="constant"),
    ],
)
async def test_any_cut_gives_the_same_gradient(
    learners: dict[int, LearnerGroup], loss: AnyLoss, clip_norm: float
) -> None:
    found: dict[str, tuple[Gradients, dict[str, float]]] = {}
    portion = Portion(batch(), silent())
    for ranks, learner in learners.items():
        await learner.all("become", learn(clip_norm=clip_norm), loss)
        for name, shares in cuts(passing(loss), ranks).items():
            found[f"{ranks} rank(s), {name}"] = await gradients(learner, shares, portion, loss)
    reference_gradient, metrics = found.pop("1 rank(s), one")
    largest = max(float(np.abs(value).max()) for value in reference_gradient.values())
    norm = np.sqrt(sum(float((value.astype(np.float64) ** 2).sum()) for value in reference_gradient.values()))
    assert largest > 0 and metrics["policy/grad_norm"] > 0.1, "otherwise nothing would be clipped"
    assert norm == pytest.approx(min(metrics["policy/grad_norm"], clip_norm), rel=1e-4)
    assert ("loss/kl" in metrics) == (loss.kl > 0) and metrics.get("loss/kl", 1.0) > 0
    for name, (actual, its_metrics) in found.items():
        worst = difference(actual, reference_gradient)
        assert worst <= 1e-5 * largest, f"{name}: off by {worst / largest:.1e} of the largest gradient"
        for key, value in metrics.items():
            assert its_metrics[key] == pytest.approx(value, rel=1e-4, abs=1e-6), f"{name}: {key}"


async def test_the_divergence_is_of_all_that_was_sampled(one_rank: LearnerGroup) -> None:
    """The gradient of three silent sequences beside sixteen others is that of a batch that is silent throughout, and
    the policy term is left out."""
    loss, learner = ClippedLoss(kl=0.1), one_rank
    await learner.all("become", learn(), loss)
    portion = Portion(batch(), silent())
    whole, metrics = await gradients(learner, cut(passing(loss), 1, 400), portion, loss)
    learned, its_metrics = await gradients(learner, cut(batch(), 1, 400), portion, loss)
    alone, nothing = await gradients(learner, cut(silent(), 1, 400), portion, loss)
    size = max(float(np.abs(value).max()) for value in alone.values())
    assert size > 0 and nothing["loss/policy"] == 0
    added = {name: learned[name] + alone[name] for name in learned}
    assert difference(whole, added) <= 1e-5 * max(float(np.abs(value).max()) for value in whole.values())
    assert {**metrics, "policy/grad_norm": 0} == pytest.approx({**its_metrics, "policy/grad_norm": 0}, rel=1e-4)


@pytest.mark.parametrize("ranks", [1, 2])
async def test_a_weight_scales_the_gradient_of_its_group(learners: dict[int, LearnerGroup], ranks: int) -> None:
    """Of a group alone to the bit; beside others, what it adds to their gradient."""
    loss, learner = ClippedLoss(), learners[ranks]
    await learner.all("become", learn(), loss)

    async def weighted(weight: float, others: list[TrainingSequence]) -> Gradients:
        group = [replace(sequence, weight=weight) for sequence in batch()[:5]]
        portion = Portion([*group, *others], silent())
        return (await gradients(learner, cut([*group, *others], ranks, 300), portion, loss))[0]

    one, half, none = [await weighted(weight, []) for weight in (1.0, 0.5, 0.0)]
    for name, gradient in one.items():
        assert np.array_equal(half[name], gradient / 2) and not none[name].any()
    beside_one, beside_half, beside_none = [await weighted(weight, batch()[5:]) for weight in (1.0, 0.5, 0.0)]
    largest = max(float(np.abs(value).max()) for value in beside_one.values())
    added = {name: beside_one[name] - beside_none[name] for name in one}
    halved = {name: 2 * (beside_half[name] - beside_none[name]) for name in one}
    assert difference(added, {name: np.zeros(1, np.float32) for name in one}) > 0.1 * largest
    assert difference(added, halved) <= 1e-5 * largest


async def test_a_loss_of_the_user_s_own_runs_on_the_ranks(learners: dict[int, LearnerGroup]) -> None:
    """REINFORCE without a ratio: on policy it is the clipped loss, importance weights and the mean included."""
    learner, portion = learners[2], Portion(batch(), silent())
    found = []
    for loss in (PluginLoss(kind="losses:reinforce"), ClippedLoss()):
        await learner.all("become", learn(), loss)
        found.append((await gradients(learner, cut(batch(), 2, 300), portion, loss))[0])
    largest = max(float(np.abs(value).max()) for value in found[0].values())
    assert largest > 0 and difference(*found) <= 1e-5 * largest
    await learner.all("minimise", PluginLoss(kind="losses:not_finite"))
    with pytest.raises(RunError, match=r"loss.kind 'losses:not_finite' returned surrogates that are not finite"):
        await gradients(learner, cut(batch(), 2, 300), portion, ClippedLoss())


async def test_later_updates_are_clipped_against_the_policy_before_the_first(
    one_rank: LearnerGroup, tmp_path: Path
) -> None:
    """Two updates in one call equal two calls, the second of which is told the log-probs of before the first."""
    learner = one_rank
    await learner.all("become", LearnConfig(), ClippedLoss())
    sequences, rate = batch(), 1e-3
    parts = [sequences[:8], sequences[8:]]
    sizes = [size_of(Portion(part), ClippedLoss(), MAX_TOKENS) for part in parts]
    first, second = ([pad(part[:3]), pad(part[3:])] for part in parts)

    async def weights() -> str:
        _, manifest = await learner.first("snapshot")
        return str(manifest.checksum)

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
    assert told == expected != untold
    largest = max(alone.pop("mismatch/weight_max"), later.pop("mismatch/weight_max"))
    assert together.pop("mismatch/weight_max") == largest
    assert together == {name: pytest.approx((alone[name] + later[name]) / 2, rel=1e-12) for name in together}
    assert alone["policy/clip_fraction"] == on_policy["policy/clip_fraction"] == 0 < later["policy/clip_fraction"]


async def test_the_divergence_is_from_the_initial_model_after_a_resume_too(
    one_rank: LearnerGroup, models: dict[str, Path], tmp_path: Path
) -> None:
    loss, initial = ClippedLoss(kl=0.1), {"reference": str(models["tied"])}
    share, sizes = [[[pad(batch())]]], [size_of(Portion(batch()), loss, MAX_TOKENS)]
    await one_rank.all("become", LearnConfig(), loss, initial)
    before = await one_rank.scatter("step", share, sizes, 1e-3)
    await one_rank.all("save", tmp_path)
    expected = await one_rank.scatter("step", share, sizes, 1e-3)
    await one_rank.all("become", LearnConfig(), loss, {**initial, "model": str(tmp_path / "hf")})
    await one_rank.all("restore", tmp_path)
    assert await one_rank.scatter("step", share, sizes, 1e-3) == expected
    assert before["loss/kl"] == 0 < expected["loss/kl"]
