"""What is published is what is served: ten publishes, tied and untied, one and two workers, and planted faults."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import pytest
from by_hand import CONTEXT, WAIT_S, Kept
from planted import SKIPPED

from actors.driver.drill import Drill
from actors.driver.sampler import Sampler
from actors.driver.transports import ShmTransport
from actors.driver.weights import WeightSync
from actors.learner.group import LearnerGroup
from actors.rollout.sampling import SampleRequest
from actors.wait import LostError, WorkerError, answer, answers
from effrl.config.learn import LearnConfig, LoraConfig
from effrl.config.loss import ClippedLoss
from effrl.errors import WeightsNotServedError
from effrl.learn.canary import choose, tolerance
from effrl.learn.packing import cut, size_of
from effrl.models import TINY
from effrl.seeds import derive
from effrl.sequences import Portion, TrainingSequence
from effrl.types import Canary, Prompt, Update

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
PROMPTS = [Prompt(str(n), f"{n}+{n * 7 % 10}=") for n in range(8)]
LONG = [Prompt("long", "+".join(str(n) for n in range(100, 200)) + "=")]
"""Of 400 tokens: an engine caches whole blocks of a prompt, and the others are shorter than one."""
DRILL_PROMPTS = [np.arange(first, first + 9, dtype=np.int32) for first in range(5, 53, 6)]


@dataclass
class Pair:
    """A learner and the engines that it publishes to, both with the weights of a model."""

    learner: LearnerGroup
    workers: dict[str, Any]
    changes: dict[str, Any] = field(default_factory=dict)
    """Of the learner's options."""

    def sync(self, count: int = 2) -> WeightSync:
        """Publish to the first workers."""
        served = dict(list(self.workers.items())[:count])
        tolerated = tolerance(self.changes.get("dtype", "float32"))
        return WeightSync(ShmTransport(self.learner, served, WAIT_S), tolerated)

    async def plant(self, fault: str) -> None:
        """Break every engine's way of loading, or mend it."""
        await answers({name: worker.plant.remote(fault) for name, worker in self.workers.items()}, WAIT_S, "planting")

    async def anew(self, learn: LearnConfig) -> None:
        """The initial weights on both sides, and no faults."""
        await self.learner.all("become", learn, ClippedLoss(), self.changes)
        await self.plant("")
        await self.sync().hand_out(0)

    async def drill(self) -> tuple[int, list[str]]:
        return await Drill(self.sync(), 0, DRILL_PROMPTS).run()


@pytest.fixture
def tied(kept: Kept, one_rank: LearnerGroup) -> Pair:
    """One rank and two engines."""
    return paired(Pair(one_rank, asyncio.run(kept.engines("tied", kept.models["tied"], 2))))


@pytest.fixture
def untied(kept: Kept, one_rank: LearnerGroup) -> Pair:
    """One rank and one engine, whose rollouts are sampled at another temperature."""
    model = kept.models["untied"]
    engines = asyncio.run(kept.engines("untied", model, 1))
    return paired(Pair(one_rank, engines, {"model": str(model), "temperature": 0.7}))


@pytest.fixture
def adapted(kept: Kept, two_ranks: LearnerGroup) -> Pair:
    """Two ranks with shards and adapters, and the engines of the tied model."""
    pair = Pair(two_ranks, asyncio.run(kept.engines("tied", kept.models["tied"], 2)))
    return paired(pair, LearnConfig(zero=3, lora=LoraConfig(rank=4, alpha=12.0)))


@pytest.fixture
def halved(kept: Kept, one_rank: LearnerGroup) -> Pair:
    """The built-in model in bfloat16: two right implementations differ by far more there than on a random one."""
    engines = asyncio.run(kept.engines("bfloat16", TINY, 1, "bfloat16"))
    return paired(Pair(one_rank, engines, {"model": str(TINY), "dtype": "bfloat16"}))


@pytest.fixture
def spread(kept: Kept, one_rank: LearnerGroup) -> Pair:
    """An engine that has two processes with half of the tied model each."""
    return paired(Pair(one_rank, asyncio.run(kept.engines("spread", kept.models["tied"], 1, parts=2))))


def paired(pair: Pair, learn: LearnConfig | None = None) -> Pair:
    asyncio.run(pair.anew(learn or LearnConfig()))
    return pair


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
    canary = choose(sequences, CONTEXT)
    before = await learner.first("logprobs", canary)
    shares = [[share] for share in cut(sequences, len(learner.ranks), 4096)]
    metrics = await learner.scatter("step", shares, [size_of(Portion(sequences), ClippedLoss(), 24)], lr, canary)
    return Update(version, version, True, metrics, canary, before)


async def publish(pair: Pair, versions: range, count: int, temperature: float = 1.0) -> None:
    """To so many workers, from rollouts of theirs."""
    sync = pair.sync(count)
    served = dict(sync.transport.workers)
    for version in versions:
        sequences = await sequences_from(served, version, temperature)
        done = await update(pair.learner, sequences, version, 1e-4)
        assert done.metrics["mismatch/kl"] < 1e-6, "the engine samples from what the learner holds"
        publication = await sync.publish(done)
        assert publication is not None and publication.verified is True
        assert publication.metrics["sync/gap"] < 1e-4
        assert {receipt.version for receipt in publication.receipts} == {version}
    rollouts = (await Sampler(served, WAIT_S)([SampleRequest(PROMPTS[0], (1, 2), 8, 1.0)]))[0].rollouts
    assert {(rollout.version_min, rollout.version_max) for rollout in rollouts} == {(versions[-1], versions[-1])}


async def test_ten_publishes_to_one_and_two_workers(tied: Pair) -> None:
    assert await tied.drill() == (14, [])
    await publish(tied, range(1, 8), count=2)
    await publish(tied, range(8, 11), count=1)
    done = await update(tied.learner, await sequences_from(tied.workers, 11), 11, 1e-4)
    [seen] = await tied.learner.all("watched")
    assert done.canary is not None and done.canary.whole
    own = np.concatenate([seen[place] for place in range(len(done.canary.ids))])
    assert np.abs(own - done.canary_before).max() < 1e-5, "the step's own forward pass scores the canary too"


async def test_ten_publishes_of_an_untied_model_that_is_sampled_at_another_temperature(untied: Pair) -> None:
    assert await untied.drill() == (15, [])
    await publish(untied, range(1, 11), count=1, temperature=0.7)


async def test_an_engine_over_two_processes_serves_what_is_published_and_dies_with_each(spread: Pair) -> None:
    assert await spread.drill() == (14, [])
    await publish(spread, range(1, 4), count=1)
    parts = [process for process in psutil.process_iter() if "VLLM::Worker_TP" in " ".join(process.cmdline())]
    assert len(parts) == 2
    parts[1].kill()
    with pytest.raises(LostError):
        while True:  # its monitor notices within a moment
            await sequences_from(spread.workers, 1)
    _, left = psutil.wait_procs(parts, timeout=15)
    assert not left, "nothing of it stays"


async def faults_are_caught(pair: Pair, packs_head: bool) -> None:
    """By the drill, by kind; each time the engine is sound again afterwards."""
    everywhere = [("shard", kind_of(SKIPPED)), ("nothing", "model.norm")]
    for fault, kind in [*([("head", "model.embed_tokens.weight")] if packs_head else []), *everywhere]:
        await pair.plant(fault)
        with pytest.raises(WeightsNotServedError, match=f"rollout-0 does not serve a perturbed .*{kind}"):
            await pair.drill()
        await pair.plant("")
        await pair.sync().hand_out(0)
    assert await pair.drill() == (14, [])


def kind_of(name: str) -> str:
    return ".".join(part for part in name.split(".") if not part.isdigit())


async def test_planted_faults_are_caught(tied: Pair) -> None:
    await faults_are_caught(tied, packs_head=True)
    # The canary of an ordinary step sees a publish that does nothing, even at a learning rate of 1e-6.
    done = await update(tied.learner, await sequences_from(tied.workers, 1), 1, 1e-6)
    await tied.plant("nothing")
    with pytest.raises(WeightsNotServedError, match="version 1"):
        await tied.sync().publish(done)
    data, manifest = await tied.learner.snapshot()
    with pytest.raises(WorkerError, match="arrived damaged"):
        await answer(tied.workers["rollout-0"].load_torn.remote(data, manifest, 1), WAIT_S, "loading", "rollout-0")
    served = await tied.sync().served(done.canary)
    assert np.abs(served["rollout-0"] - done.canary_before).max() < 1e-4, "nothing of what is damaged is loaded"


async def test_a_rollout_that_fills_the_context_is_published(tied: Pair) -> None:
    """The engine is asked for one token after those that it scores."""
    ids = np.random.default_rng(0).integers(3, 90, CONTEXT).astype(np.int32)
    full = TrainingSequence(ids, CONTEXT - 24, np.full(24, -4.8, np.float32), np.ones(24, np.float32))
    publication = await tied.sync().publish(await update(tied.learner, [full], 1, 1e-4))
    assert publication is not None and publication.verified is True


async def test_no_cached_prefix_outlives_its_version(tied: Pair) -> None:
    """What is sampled after a publish is of the new version from the prompt on; without the reset it is not."""
    mismatch = []
    for version, fault in enumerate(("", "", "cache", ""), start=1):
        done = await update(tied.learner, await sequences_from(tied.workers, version, prompts=LONG), version, 3e-3)
        mismatch.append(done.metrics["mismatch/kl"])
        await tied.plant(fault)
        await tied.sync().hand_out(version)
    assert max(mismatch[:3]) < 1e-6
    assert mismatch[3] > 1e-4, "the third publish kept the cache"


async def test_a_publish_overtakes_rollouts_and_each_token_is_of_the_version_that_sampled_it(tied: Pair) -> None:
    """The first engine swaps weights in the middle, the second one still serves what was before."""
    first, second = tied.workers["rollout-0"], tied.workers["rollout-1"]
    await update(tied.learner, await sequences_from({"rollout-0": first}, 1), 1, 3e-3)
    request = SampleRequest(PROMPTS[0], tuple(range(32)), CONTEXT - 16, 1.0)
    sampling = asyncio.create_task(Sampler({"rollout-0": first}, WAIT_S)([request]))
    await tied.sync(1).hand_out(1)
    [sampled] = await sampling
    overtaken = [rollout for rollout in sampled.rollouts if (rollout.version_min, rollout.version_max) == (0, 1)]
    assert overtaken, "some were under way"
    for rollout in overtaken:
        ids = np.concatenate([sampled.prompt_ids, rollout.token_ids]).astype(np.int32)
        canary = Canary((ids,), (len(sampled.prompt_ids),))
        old, new = [await answer(worker.logprobs.remote(canary), WAIT_S, "scores", "one") for worker in (second, first)]
        before = int(np.argmin(np.abs(rollout.logprobs - old) < 1e-4))
        assert 0 < before < len(new), "tokens of both versions"
        assert np.abs(rollout.logprobs[before:] - new[before:]).max() < 1e-4, "also what they condition on"


async def test_adapters_are_served_merged_and_a_publish_without_them_is_caught(adapted: Pair) -> None:
    """Adapters start at 0: without a perturbation of their own nothing would be missed."""
    await adapted.learner.all("forget_adapters", True)
    with pytest.raises(WeightsNotServedError, match="lora_B") as error:
        await adapted.drill()
    assert str(error.value).count("lora_B") == 7 and "layernorm" not in str(error.value)
    await adapted.learner.all("forget_adapters", False)
    await adapted.sync().hand_out(0)
    assert await adapted.drill() == (21, [])
    for version in (1, 2):
        sequences = await sequences_from(adapted.workers, version)
        publication = await adapted.sync().publish(await update(adapted.learner, sequences, version, 1e-3))
        assert publication is not None and publication.verified is True


async def test_bfloat16_starts_publishes_and_catches_each_planted_fault(halved: Pair) -> None:
    await faults_are_caught(halved, packs_head=False)  # whether bfloat16 is packed depends on the CPU
    small = await update(halved.learner, await sequences_from(halved.workers, 1), 1, 1e-6)
    publication = await halved.sync().publish(small)
    assert publication is not None and publication.verified is None, "smaller than the noise: it proves nothing"
    large = await update(halved.learner, await sequences_from(halved.workers, 2), 2, 3e-3)
    publication = await halved.sync().publish(large)
    assert publication is not None and publication.verified is True
    await halved.plant("nothing")
    with pytest.raises(WeightsNotServedError, match="version 3"):
        await halved.sync().publish(await update(halved.learner, await sequences_from(halved.workers, 3), 3, 3e-3))
