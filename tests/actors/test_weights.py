"""What is published is what is served: ten publishes, tied and untied, one and two workers, and planted faults."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from by_hand import WAIT_S, ready, start_learner, start_workers, stop
from planted import FaultyWorker, ForgetfulRank

from actors.driver.transports import ShmTransport
from actors.driver.weights import WeightSync
from actors.learner.actor import LearnerRank
from actors.learner.group import LearnerGroup
from actors.rollout.sampling import Sampler, SampleRequest
from actors.snapshot import SHM
from actors.wait import WorkerError, answer
from effrl.config.learn import LearnConfig, LoraConfig
from effrl.errors import WeightsNotServedError
from effrl.learn.canary import choose
from effrl.learn.packing import cut, size_of
from effrl.seeds import derive
from effrl.types import Prompt, TrainingSequence, Update

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
PROMPTS = [Prompt(str(n), f"{n}+{n * 7 % 10}=") for n in range(8)]
LONG = [Prompt("long", "+".join(str(n) for n in range(100, 200)) + "=")]
"""Of 400 tokens: an engine caches whole blocks of a prompt, and the others are shorter than one."""


async def sequences_from(
    workers: dict[str, Any], seed: int, temperature: float = 1.0, prompts: list[Prompt] = PROMPTS
) -> list[TrainingSequence]:
    """Rollouts of the served policy with arbitrary advantages: something to learn from."""
    requests = [SampleRequest(prompt, (derive(seed, prompt.id),), 24, temperature) for prompt in prompts]
    sampled = await Sampler(workers, WAIT_S)(requests)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], len(sampled))
    return [
        TrainingSequence(
            np.concatenate([entry.prompt_ids, entry.rollouts[0].token_ids]),
            len(entry.prompt_ids),
            entry.rollouts[0].logprobs,
            np.full(len(entry.rollouts[0].token_ids), sign, np.float32),
        )
        for entry, sign in zip(sampled, signs, strict=True)
    ]


async def update(learner: LearnerGroup, sequences: list[TrainingSequence], version: int, lr: float) -> Update:
    """One optimizer step."""
    canary = choose(sequences)
    before = await learner.first("logprobs", canary)
    shares = [[share] for share in cut(sequences, len(learner.ranks), 4096)]
    metrics = await learner.scatter("step", shares, [size_of(sequences, "token", 24)], lr)
    return Update(version, version, True, metrics, canary, before)


@pytest.mark.parametrize("head", ["tied", "untied"])
async def test_ten_publishes_to_one_and_two_workers(
    local_ray: None, models: dict[str, Path], tmp_path: Path, head: str
) -> None:
    workers = start_workers(FaultyWorker, 2, models[head], tmp_path)
    temperature = 1.0 if head == "tied" else 0.7
    learner = await start_learner(LearnerRank, 1, models[head], tmp_path, LearnConfig(), temperature=temperature)
    try:
        await ready(workers)
        kinds, unproven = await WeightSync(ShmTransport(learner, workers, WAIT_S), 1e-4).drill(
            0, [np.arange(5, 25, dtype=np.int32), np.arange(30, 50, dtype=np.int32)]
        )
        assert kinds == (14 if head == "tied" else 15) and unproven == []
        version = 0
        for served in (workers, dict([next(iter(workers.items()))])):
            sync = WeightSync(ShmTransport(learner, served, WAIT_S), 1e-4)
            for _ in range(10):
                version += 1
                sequences = await sequences_from(served, version, temperature)
                done = await update(learner, sequences, version, 1e-4)
                assert done.metrics["mismatch/kl"] < 1e-6, "the engine samples from what the learner holds"
                publication = await sync.publish(done)
                assert publication is not None and publication.verified is True
                assert publication.metrics["sync/gap"] < 1e-4
                assert {receipt.version for receipt in publication.receipts} == {version}
        rollouts = (await Sampler(served, WAIT_S)([SampleRequest(PROMPTS[0], (1, 2), 8, 1.0)]))[0].rollouts
        assert {(rollout.version_min, rollout.version_max) for rollout in rollouts} == {(version, version)}
    finally:
        stop(workers, dict(learner.ranks))


async def test_planted_faults_are_caught(local_ray: None, models: dict[str, Path], tmp_path: Path) -> None:
    workers = start_workers(FaultyWorker, 1, models["tied"], tmp_path)
    [worker] = workers.values()
    learner = await start_learner(LearnerRank, 1, models["tied"], tmp_path, LearnConfig())
    sync = WeightSync(ShmTransport(learner, workers, WAIT_S), 1e-4)
    prompts = [np.arange(5, 25, dtype=np.int32)]
    try:
        await ready(workers)
        await sync.drill(0, prompts)
        for fault in ("head", "shard", "nothing"):
            await answer(worker.plant.remote(fault), WAIT_S, "planting", "rollout-0")
            with pytest.raises(WeightsNotServedError, match="rollout-0 does not serve"):
                await sync.drill(0, prompts)
            await learner.all("undo_perturb")
            await answer(worker.plant.remote(""), WAIT_S, "planting", "rollout-0")
            await sync.hand_out(0)
            await sync.drill(0, prompts)
        # The canary of an ordinary step sees a publish that does nothing, even at a learning rate of 1e-6.
        done = await update(learner, await sequences_from(workers, 1), 1, 1e-6)
        await answer(worker.plant.remote("nothing"), WAIT_S, "planting", "rollout-0")
        with pytest.raises(WeightsNotServedError, match="version 1"):
            await sync.publish(done)
        data, manifest = await learner.snapshot()
        with pytest.raises(WorkerError, match="arrived damaged"):
            await answer(worker.load_torn.remote(data, manifest, 1), WAIT_S, "loading", "rollout-0")
        assert list(SHM.glob(f"*{manifest.checksum}*")) == [], "a damaged version does not stay in memory"
    finally:
        stop(workers, dict(learner.ranks))


async def test_no_cached_prefix_outlives_its_version(local_ray: None, models: dict[str, Path], tmp_path: Path) -> None:
    """What is sampled after a publish is of the new version from the prompt on; without the reset it is not."""
    workers = start_workers(FaultyWorker, 1, models["tied"], tmp_path)
    [worker] = workers.values()
    learner = await start_learner(LearnerRank, 1, models["tied"], tmp_path, LearnConfig())
    sync = WeightSync(ShmTransport(learner, workers, WAIT_S), 1e-4)
    mismatch = []
    try:
        await ready(workers)
        for version, fault in enumerate(("", "", "cache", ""), start=1):
            done = await update(learner, await sequences_from(workers, version, prompts=LONG), version, 3e-3)
            mismatch.append(done.metrics["mismatch/kl"])
            await answer(worker.plant.remote(fault), WAIT_S, "planting", "rollout-0")
            await sync.hand_out(version)
        assert max(mismatch[:3]) < 1e-6
        assert mismatch[3] > 1e-4, "the third publish kept the cache"
    finally:
        stop(workers, dict(learner.ranks))


async def test_adapters_are_served_merged_and_a_publish_without_them_is_caught(
    local_ray: None, models: dict[str, Path], tmp_path: Path
) -> None:
    """From two ranks with shards. Adapters start at 0: without a perturbation of their own nothing would be missed."""
    workers = start_workers(FaultyWorker, 1, models["tied"], tmp_path)
    learn = LearnConfig(zero=3, lora=LoraConfig(rank=4, alpha=12.0))
    learner = await start_learner(ForgetfulRank, 2, models["tied"], tmp_path, learn)
    sync = WeightSync(ShmTransport(learner, workers, WAIT_S), 1e-4)
    prompts = [np.arange(5, 25, dtype=np.int32)]
    try:
        await ready(workers)
        await learner.all("forget", True)
        with pytest.raises(WeightsNotServedError, match="lora_B"):
            await sync.drill(0, prompts)
        await learner.all("undo_perturb")
        await learner.all("forget", False)
        await sync.hand_out(0)
        assert await sync.drill(0, prompts) == (21, [])
        for version in (1, 2):
            publication = await sync.publish(
                await update(learner, await sequences_from(workers, version), version, 1e-3)
            )
            assert publication is not None and publication.verified is True
    finally:
        stop(workers, dict(learner.ranks))
