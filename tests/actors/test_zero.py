"""ZeRO-1, 2 and 3 on two ranks, with and without adapters: a naive pass has the same gradient, and nothing is lost."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch
from by_hand import WAIT_S
from numpy.typing import NDArray
from reads import unread
from test_gradients import MAX_TOKENS, batch, silent
from torch import Tensor
from transformers import AutoModelForCausalLM, Qwen2ForCausalLM

from actors.learner.group import LearnerGroup
from actors.learner.service import LearnerService
from actors.snapshot import unpack
from actors.wait import answer
from effrl.config.advantage import GaeAdvantage
from effrl.config.learn import LearnConfig, LoraConfig
from effrl.config.loss import ClippedLoss, Reduce
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.learn.canary import Tolerance, largest, over_prompts
from effrl.learn.packing import MicroBatch, pad, size_of
from effrl.run.metrics import Stopwatch
from effrl.sequences import Portion
from effrl.tiny.make import character_tokenizer, new_model, save
from effrl.types import Float32, Group, Prompt, ReadGroup, Rollout

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
LORA = LoraConfig(rank=4, alpha=12.0)
KINDS = [(zero, lora) for zero in (1, 2, 3) for lora in (None, LORA)]
NAMES = [f"ZeRO-{zero}{', LoRA' if lora else ''}" for zero, lora in KINDS]
CANARY = over_prompts([np.arange(5, 25, dtype=np.int32), np.arange(30, 60, dtype=np.int32)])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random tied model of two layers; its matrices are large enough to be in shards under ZeRO-3."""
    config = new_model().config
    shape = {**config.to_dict(), "num_hidden_layers": 2, "layer_types": config.layer_types[:2]}
    directory = tmp_path_factory.mktemp("models") / "small"
    save(Qwen2ForCausalLM(type(config)(**shape)), character_tokenizer(), directory)
    return directory


@pytest.fixture
def ranks(two_ranks: LearnerGroup, model: Path) -> LearnerGroup:
    asyncio.run(two_ranks.all("renew", model))
    return two_ranks


def learn(zero: int, lora: LoraConfig | None, **fields: object) -> LearnConfig:
    return LearnConfig.model_validate({"zero": zero, "lora": lora, "betas": (0.0, 0.95), "clip_norm": 1e9, **fields})


def uneven() -> list[list[MicroBatch]]:
    """Three micro-batches on one rank, one on the other; what is silent is among them, and without a KL term moves
    nothing."""
    s, nothing = batch(), silent()
    return [[pad(s[:1]), pad(s[1:6]), pad([*s[6:12], nothing[0]])], [pad([*nothing[1:], *s[12:]])]]


async def step(learner: LearnerGroup, reduce: Reduce, rate: float) -> dict[str, float]:
    loss = ClippedLoss(reduce=reduce)
    size = size_of(Portion(batch(), silent()), loss, MAX_TOKENS)
    await learner.all("minimise", loss)
    metrics: dict[str, float] = await learner.scatter("step", [[share] for share in uneven()], [size], rate)
    return metrics


async def published(learner: LearnerGroup) -> dict[str, Tensor]:
    data, manifest = await learner.snapshot()
    return dict(unpack(await answer(data, WAIT_S, "bytes", "learner-0"), manifest))


def plain(path: Path, weights: dict[str, Tensor]) -> torch.nn.Module:
    """What transformers makes of published weights: each has its place, and none is missing."""
    model = AutoModelForCausalLM.from_pretrained(path).double()
    assert {name for name, _ in model.named_parameters()} == weights.keys()
    model.load_state_dict({name: tensor.double() for name, tensor in weights.items()}, strict=False)
    return model  # type: ignore[no-any-return]


def naive_logprobs(model: torch.nn.Module, ids: NDArray[np.int32]) -> Tensor:
    """Of all tokens but the first."""
    tokens = torch.tensor(ids, dtype=torch.long)
    logits = model(input_ids=tokens[None]).logits[0, :-1]
    return torch.log_softmax(logits, -1)[torch.arange(len(ids) - 1), tokens[1:]]


def naive_gradients(model: torch.nn.Module, reduce: Reduce) -> dict[str, Tensor]:
    """One sequence after the other; on policy a ratio is 1, and its slope that of the log-prob."""
    tokens = sum(len(sequence.logprobs) for sequence in (*batch(), *silent()))
    for sequence in batch():
        logprobs = naive_logprobs(model, sequence.ids)[sequence.prompt_length - 1 :]
        importance = (logprobs.detach() - torch.tensor(sequence.logprobs)).exp().clamp(max=2.0)
        advantages = sequence.weight * (torch.tensor(sequence.advantages) + sequence.offset)
        terms = -importance * advantages * logprobs
        divisors = {"token": tokens, "constant": 19 * MAX_TOKENS, "sequence": 19 * len(terms)}
        (terms.sum() / divisors[reduce]).backward()
    return {name: tensor.grad for name, tensor in model.named_parameters() if tensor.grad is not None}


@pytest.mark.parametrize(("zero", "lora"), KINDS, ids=NAMES)
async def test_the_gradient_is_that_of_one_naive_pass(
    ranks: LearnerGroup, model: Path, zero: int, lora: LoraConfig | None
) -> None:
    """For adapters by the chain rule through the merged weight: slopes of A and B are ``s B'W'`` and ``s W'A'``."""
    await ranks.all("become", learn(zero, lora), ClippedLoss())
    await step(ranks, "token", 3e-3)  # away from the start, where B is 0
    adapters = await ranks.first("adapters")
    weights = await published(ranks)
    frozen = dict(AutoModelForCausalLM.from_pretrained(model).named_parameters())
    for name, (a, b) in adapters.items():
        merged = frozen[name] + LORA.scale * (torch.tensor(b) @ torch.tensor(a))
        torch.testing.assert_close(weights[name], merged, rtol=0, atol=1e-7)
    for reduce in ("token", "sequence", "constant"):
        expected = naive_gradients(plain(model, weights), reduce)
        if lora:
            expected = {
                f"{name.removesuffix('.weight')}.lora_{part}.default.weight": gradient
                for name, (a, b) in adapters.items()
                for part, gradient in {
                    "A": lora.scale * torch.tensor(b).double().T @ expected[name],
                    "B": lora.scale * expected[name] @ torch.tensor(a).double().T,
                }.items()
            }
        metrics = await step(ranks, reduce, 1e-30)
        actual = await ranks.first("gradients")
        assert actual.keys() == expected.keys()
        largest = max(float(gradient.abs().max()) for gradient in expected.values())
        worst = max(float((torch.tensor(actual[name]) - expected[name]).abs().max()) for name in expected)
        assert worst <= 1e-5 * largest, f"{reduce}: off by {worst / largest:.1e} of the largest"
        norm = float(sum(gradient.square().sum() for gradient in expected.values()) ** 0.5)
        assert metrics["policy/grad_norm"] == pytest.approx(norm, rel=1e-5)


@pytest.mark.parametrize(("zero", "lora"), KINDS, ids=NAMES)
async def test_what_is_published_is_what_the_learner_computes_with(
    ranks: LearnerGroup, model: Path, tmp_path: Path, zero: int, lora: LoraConfig | None
) -> None:
    """After a step, while kinds are perturbed, when that is undone, after a restore, and in the exported model."""
    await ranks.all("become", learn(zero, lora), ClippedLoss())

    async def served() -> Float32:
        """Log-probs that an engine has which loads what is published."""
        return canary_of(plain(model, await published(ranks)))

    await step(ranks, "token", 3e-3)
    before = await ranks.first("logprobs", CANARY)
    weights = await published(ranks)
    assert await served() == pytest.approx(before, abs=1e-5)
    await assert_views(ranks, plain(model, weights))
    kinds = await ranks.first("parameter_kinds")
    assert sum("lora_B" in kind for kind in kinds) == (7 if lora else 0) and len(kinds) == (21 if lora else 14)
    moved, found = before, []
    for kind in [kind for kind in kinds if "q_proj" in kind or "embed" in kind]:
        found.append((kind, moved))
        moved = await ranks.first("perturb", kind, CANARY, moved, Tolerance(1e-3, largest, drill=10))
        assert np.abs(moved - found[-1][1]).max() >= 0.01, "on top of what is perturbed already"
    assert await served() == pytest.approx(moved, abs=1e-5)
    last, without = found[-1]
    assert await ranks.first("logprobs_without", last, CANARY) == pytest.approx(without, abs=1e-5)
    assert (await ranks.first("logprobs", CANARY)).tolist() == moved.tolist(), "it stays perturbed"
    await ranks.all("undo_perturb")
    assert equal(await published(ranks), weights), "to the bit"
    assert (await ranks.first("logprobs", CANARY)).tolist() == before.tolist()

    await ranks.all("save", tmp_path)
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert equal(dict(exported.named_parameters()), weights) and exported.config.use_cache
    expected = (await step(ranks, "token", 3e-3), await published(ranks))
    await ranks.all("become", learn(zero, lora), ClippedLoss())
    await ranks.all("restore", tmp_path)
    assert equal(await published(ranks), weights)
    again = (await step(ranks, "token", 3e-3), await published(ranks))
    assert again[0] == expected[0] and equal(again[1], expected[1]), "a resumed run equals one that was not stopped"


async def assert_views(ranks: LearnerGroup, model: torch.nn.Module) -> None:
    """Compare log-probs and hidden states of groups, from both ranks, with one whole pass per rollout."""
    config = Config.model_validate({"data": {"train": "tasks:chain"}, "learn": {"micro_batch_tokens": 40}})
    learner = LearnerService(ranks, config, 1, Stopwatch(), context=512)
    groups = [rolled("a", 5, (3, 9, 1)), rolled("b", 2, (17, 4))]
    views = await learner.view(groups, frozenset({"logprobs", "prompt", "last"}))
    for read, view in zip(groups, views, strict=True):
        assert view.logprobs is not None and view.prompt is not None and view.last is not None
        start = len(read.group.prompt_ids)
        for rollout, logprobs, last in zip(read.group.rollouts, view.logprobs, view.last, strict=True):
            ids = np.concatenate([read.group.prompt_ids, rollout.token_ids])
            with torch.no_grad():
                tokens = torch.tensor(ids, dtype=torch.long)[None]
                hidden = model(input_ids=tokens, output_hidden_states=True).hidden_states[-1][0].numpy()
                assert logprobs == pytest.approx(naive_logprobs(model, ids)[start - 1 :].numpy(), abs=1e-5)
            assert view.prompt == pytest.approx(hidden[start - 1], abs=1e-5)
            assert last == pytest.approx(hidden[-1], abs=1e-5)


def rolled(name: str, prompt: int, lengths: tuple[int, ...]) -> ReadGroup:
    random = np.random.default_rng(prompt)
    rollouts = tuple(
        Rollout(random.integers(4, 60, length, np.int32), np.zeros(length, np.float32), "", "stop", 0, 0)
        for length in lengths
    )
    return unread(Group(name, Prompt(name, "?"), random.integers(4, 60, prompt, np.int32), rollouts))


def naive_values(model: torch.nn.Module, head: dict[str, Tensor], ids: NDArray[np.int32]) -> Tensor:
    """Of what stands before each token but the first."""
    hidden = model(input_ids=torch.tensor(ids, dtype=torch.long)[None], output_hidden_states=True).hidden_states[-1]
    values: Tensor = hidden[0, :-1] @ head["weight"][0] + head["bias"][0]
    return values


def naive_estimate(values: list[float], rewards: list[float], config: GaeAdvantage) -> list[float]:
    """Raw advantages of one sequence."""
    following, after, found = 0.0, 0.0, []
    for t in reversed(range(len(values))):
        delta = rewards[t] + config.gamma * after - values[t]
        following, after = delta + config.gamma * config.lam * following, values[t]
        found.append(following)
    return found[::-1]


@pytest.mark.parametrize("zero", [1, 3])
async def test_a_value_head_learns_beside_the_policy(ranks: LearnerGroup, model: Path, zero: int) -> None:
    """The gradients of policy and value head, with advantages that are standardised over both ranks' tokens.

    What stands for advantages are rewards of tokens until then. A sequence's weight is of both gradients.
    """
    config = GaeAdvantage(gamma=0.98, lam=0.9, value_weight=0.5)
    await ranks.all("become", learn(zero, None), ClippedLoss(), {"gae": config})
    await step(ranks, "token", 3e-3)  # away from the start, where all values are 0
    policy = plain(model, await published(ranks))
    found = await ranks.first("value_head")
    head = {name: torch.tensor(value).double().requires_grad_() for name, (value, _) in found.items()}
    sequences = batch()
    kept = [naive_values(policy, head, seq.ids)[seq.prompt_length - 1 :] for seq in sequences]
    raw = [
        naive_estimate(values.tolist(), seq.advantages.tolist(), config)
        for values, seq in zip(kept, sequences, strict=True)
    ]
    every = np.concatenate([np.array(row) for row in raw])
    loss = torch.zeros((), dtype=torch.float64)
    for seq, values, row in zip(sequences, kept, raw, strict=True):
        logprobs = naive_logprobs(policy, seq.ids)[seq.prompt_length - 1 :]
        importance = (logprobs.detach() - torch.tensor(seq.logprobs)).exp().clamp(max=2.0)
        advantages = torch.tensor((np.array(row) - every.mean()) / every.std())
        returns = torch.tensor(row) + values.detach()
        policy_term = -(importance * (advantages + seq.offset) * logprobs).sum()
        loss = loss + seq.weight * (policy_term + 0.5 * 0.5 * (values - returns).square().sum())
    (loss / (len(every) + sum(len(seq.logprobs) for seq in silent()))).backward()
    expected = {name: tensor.grad for name, tensor in policy.named_parameters()}
    metrics = await step(ranks, "token", 1e-30)
    actual = await ranks.first("gradients")
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    worst = max(float((torch.tensor(actual[name]) - expected[name]).abs().max()) for name in expected)
    assert worst <= 1e-5 * largest
    for name, (_, gradient) in (await ranks.first("value_head")).items():
        assert gradient == pytest.approx(head[name].grad.numpy(), rel=1e-3, abs=1e-5 * largest)
    returns = np.concatenate([np.array(row) + values.detach().numpy() for row, values in zip(raw, kept, strict=True)])
    assert metrics["value/explained_variance"] == pytest.approx(1 - every.var() / returns.var(), abs=1e-4)
    assert metrics["loss/value"] == pytest.approx(0.5 * np.square(every).mean(), rel=1e-4)


def canary_of(model: torch.nn.Module) -> Float32:
    with torch.no_grad():
        rows = [naive_logprobs(model, ids) for ids in CANARY.ids]
    return np.asarray(torch.cat(rows).numpy(), np.float32)


def equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "LoRA"])
async def test_two_buckets_are_the_most_that_a_publish_gathers(ranks: LearnerGroup, lora: LoraConfig | None) -> None:
    await ranks.all("become", learn(3, lora), ClippedLoss())
    bucket = 300_000
    most, everything, largest = await ranks.first("gathered_at_most", bucket)
    assert largest < bucket < everything / 3
    assert 0 < most <= 2 * bucket


@pytest.mark.parametrize(("zero", "lora"), [(1, None), (3, None), (3, LORA)], ids=["ZeRO-1", "ZeRO-3", "ZeRO-3, LoRA"])
async def test_checkpointed_activations_change_memory_and_nothing_else(
    ranks: LearnerGroup, zero: int, lora: LoraConfig | None
) -> None:
    found = []
    for on in (False, True):
        await ranks.all("become", learn(zero, lora, activation_checkpointing=on), ClippedLoss())
        kept = await ranks.first("kept_for_backward", pad(batch()))
        metrics = await step(ranks, "token", 1e-30)
        found.append((kept, metrics, await ranks.first("gradients")))
    (all_kept, expected, plain_gradients), (kept, metrics, gradients) = found
    assert kept < all_kept / 3
    assert metrics == pytest.approx(expected, rel=1e-6)
    assert all(np.allclose(gradients[name], plain_gradients[name], rtol=0, atol=1e-7) for name in plain_gradients)


@pytest.mark.parametrize("zero", [1, 2, 3])
async def test_bfloat16_gradients_add_up_in_float32(ranks: LearnerGroup, zero: int) -> None:
    """Seven equal micro-batches give seven times the gradient of one; a sum in bfloat16 would be off by 1 in 256."""
    await ranks.all("become", learn(zero, None), ClippedLoss(), {"dtype": "bfloat16"})
    one, size = pad(batch()[:1]), size_of(Portion(batch()[:1]), ClippedLoss(), MAX_TOKENS)
    found = []
    for count in (1, 7):
        await ranks.scatter("step", [[[one] * count], [[one] * count]], [size], 1e-30)
        found.append(await ranks.first("gradients"))
    for name, gradient in found[0].items():
        np.testing.assert_allclose(found[1][name], 7 * gradient, rtol=1e-5, atol=1e-6)


async def test_a_checkpoint_is_read_only_by_what_wrote_it(ranks: LearnerGroup, tmp_path: Path) -> None:
    await ranks.all("become", learn(1, None), ClippedLoss())
    await step(ranks, "token", 1e-30)
    await ranks.all("save", tmp_path)
    for other, field in ((learn(2, None), "learn.zero=1"), (learn(1, LORA), "learn.lora=null")):
        await ranks.all("become", other, ClippedLoss())
        with pytest.raises(UserError, match=f"was written with {field}: set it back"):
            await ranks.all("restore", tmp_path)


async def test_a_wrong_target_of_adapters_is_one_line(ranks: LearnerGroup) -> None:
    wrong = LoraConfig(targets=("q_proj", "lm_head"))
    with pytest.raises(UserError, match=r"no linear layer is called lm_head; there are down_proj, gate_proj, k_proj"):
        await ranks.all("become", learn(1, wrong), ClippedLoss())
