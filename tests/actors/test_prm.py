"""The implicit PRM on two real ranks: a naive pass has the same rewards and gradients, whatever ZeRO shares out."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import Kept
from reads import step_of, unread
from transformers import AutoModelForCausalLM

from actors.prm.service import PrmService
from actors.ranks.group import RankGroup
from effrl.advantage.build import advantages
from effrl.batch import Batch, Stored
from effrl.config.advantage import PrimeAdvantage, RlooAdvantage
from effrl.config.process import ImplicitPrm
from effrl.errors import UserError
from effrl.learn.packing import pad, unweighted
from effrl.process.examples import PrmBatch
from effrl.run.metrics import Stopwatch
from effrl.sequences import ProcessReward, TrainingSequence
from effrl.types import Decision, Float32, Group, Judged, Prompt, Rollout, Score, ScoredGroup, Status, Supervision

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
BETA, EXACT = 0.05, {"betas": (0.0, 0.95), "clip_norm": 1e9, "lr": 1e-3}
LORA = {"rank": 4, "alpha": 12.0}
KINDS: dict[str, dict[str, Any]] = {
    **{f"ZeRO-{zero}": {"zero": zero} for zero in range(4)},
    "ZeRO-3, LoRA": {"zero": 3, "lora": LORA},
    "ZeRO-3, checkpointing": {"zero": 3, "activation_checkpointing": True},
}


@pytest.fixture
def ranks(kept: Kept) -> RankGroup:
    return asyncio.run(kept.prm(2))


def prm(**fields: Any) -> ImplicitPrm:
    learn = {**EXACT, **fields.pop("learn", {})}
    return ImplicitPrm.model_validate({"beta": BETA, "learn": learn, **fields})


def rows() -> list[TrainingSequence]:
    """Nine rollouts of very different lengths, one of them without any token."""
    rng = np.random.default_rng(3)
    return [unweighted(rng.integers(3, 90, 6 + n).astype(np.int32), 6) for n in (0, 1, 40, 7, 22, 3, 58, 12, 5)]


LABELS = np.array([1, 0, 1, 0.5, 0, 1, 0, 0.25, 1], np.float32)
WEIGHTS = np.array([1, 1, 0.5, 1, 0, 1, 1, 2, 1], np.float32)


def work(places: list[int]) -> PrmBatch:
    chosen = rows()
    return PrmBatch(
        pad([chosen[n] for n in places]), LABELS[places], np.zeros(len(places), np.float32), WEIGHTS[places]
    )


UNEVEN = [[[0, 1], [2], [3, 4, 5]], [[6, 7, 8]]]


def naive(model: Any, row: TrainingSequence) -> torch.Tensor:
    """[T] log-probs by one pass over one row, without padding."""
    ids = torch.tensor(row.ids, dtype=torch.long)
    found = model(ids[None]).logits[0].log_softmax(-1)[torch.arange(len(ids) - 1), ids[1:]]
    return found[row.prompt_length - 1 :]


@pytest.mark.parametrize("learn", KINDS.values(), ids=KINDS)
async def test_a_prm_that_is_its_reference_gives_exactly_nothing(ranks: RankGroup, models: Any, learn: Any) -> None:
    """And cannot tell right from wrong: a loss of log 2 for any label (the mean of the weights is 0.83)."""
    await ranks.all("become", prm(learn=learn), models["tied"], models["tied"])
    scored = await ranks.each("score", [[work(places).batch for places in share] for share in UNEVEN])
    assert all(not row.any() for share in scored for batch in share for row in batch), "to the bit"
    [(seen, metrics), _] = await ranks.each("step", [[work(places) for places in share] for share in UNEVEN], 9, 1e-3)
    assert metrics["process/loss"] == pytest.approx(np.log(2) * WEIGHTS.mean(), abs=1e-6)
    assert [[row.shape[0] for row in batch] for batch in seen] == [[0, 1], [40], [7, 22, 3]]
    after = await ranks.each("score", [[work(places).batch for places in share] for share in UNEVEN])
    assert any(row.any() for share in after for batch in share for row in batch), "it has learned"


@pytest.mark.parametrize("zero", range(4))
async def test_rewards_and_gradients_are_those_of_a_naive_pass(ranks: RankGroup, models: Any, zero: int) -> None:
    await ranks.all("become", prm(learn={"zero": zero}), models["tied"], models["untied"])
    answered = await ranks.each("step", [[work(places) for places in share] for share in UNEVEN], 9, 1e-3)
    found = await ranks.first("gradients")

    model, reference = (
        AutoModelForCausalLM.from_pretrained(models[name], dtype=torch.float32) for name in ("tied", "untied")
    )
    before = {name: value.clone() for name, value in reference.named_parameters()}
    loss, expected = torch.zeros(()), []
    for row, label, weight in zip(rows(), LABELS, WEIGHTS, strict=True):
        ratio = naive(model, row) - naive(reference, row).detach()
        expected.append(ratio.detach().numpy())
        logit = BETA * ratio.sum()
        loss = loss - weight / 9 * (label * logit.sigmoid().log() + (1 - label) * (-logit).sigmoid().log())
    loss.backward()
    assert answered[0][1]["process/loss"] == pytest.approx(float(loss), rel=1e-4)
    for share, (seen, _) in zip(UNEVEN, answered, strict=True):
        for places, batch in zip(share, seen, strict=True):
            for place, row in zip(places, batch, strict=True):
                assert np.allclose(row, expected[place], atol=2e-4)
    for name, parameter in model.named_parameters():
        assert np.allclose(found[name], parameter.grad.numpy(), atol=1e-6 + 2e-3 * float(parameter.grad.abs().max()))
    assert all(torch.equal(before[name], value) and value.grad is None for name, value in reference.named_parameters())


# --- as the loop sees it


def group(name: str, outcomes: tuple[float | None, ...], seed: int, key: bool = False) -> ScoredGroup:
    """Rollouts of random tokens; with a ``key`` one of them, at a random place, says whether the rollout is right."""
    rng = np.random.default_rng(seed)
    rollouts = []
    for outcome in outcomes:
        ids = rng.integers(20, 60, 12).astype(np.int32)
        if key:
            ids[rng.integers(12)] = 10 if outcome else 11
        rollouts.append(Rollout(ids, np.full(12, -4.5, np.float32), "", "stop", 0, 0))
    read = unread(Group(name, Prompt(name, "?"), np.array([4, 5, 6], np.int32), tuple(rollouts)))
    status = [Status.TIMEOUT if outcome is None else Status.OK for outcome in outcomes]
    scores = tuple(Score(outcome, outcome, found) for outcome, found in zip(outcomes, status, strict=True))
    return ScoredGroup(Judged(read, Decision.USE, Supervision("gold", "1")), scores)


def batch(*names: str, replayed: tuple[str, ...] = (), key: bool = False) -> Batch:
    made = Batch(1, len(names), 0.0, advantages(RlooAdvantage()))
    made.add([group(name, (1, 0, 1, 0), int(name), key) for name in names])
    made.replay([Stored(group(name, (1, 0, 0, 1), int(name), key), 0) for name in replayed])
    return made


async def service(
    ranks: RankGroup, models: Any, config: ImplicitPrm, tokens: int = 1024, ahead: Any = None
) -> PrmService:
    reference = models["tied"] if config.reference == "initial" else None
    await ranks.all("become", config, config.path or models["tied"], reference)
    return PrmService(ranks, config, tokens, ahead, Stopwatch())


def values(found: ProcessReward, name: str) -> list[float]:
    """Of all tokens of a group."""
    return [float(value) for row in found.groups[name] for value in row.values]


async def test_at_first_prime_is_rloo(ranks: RankGroup, models: Any) -> None:
    made = batch("1", "2", replayed=("3",))
    made.process = await (await service(ranks, models, prm())).reward(step_of(1), made)
    rewards = [sequence.advantages for sequence in made.sequences()]
    prime = advantages(PrimeAdvantage(whiten=False))
    made.advantage = prime
    assert all(np.array_equal(*pair) for pair in zip(rewards, (s.advantages for s in made.sequences()), strict=True))
    assert made.process.metrics["process/loss"] == pytest.approx(np.log(2))
    assert made.metrics()["process/advantage_share"] == 0
    assert made.process.metrics["process/norm"] == pytest.approx(BETA, rel=1e-4), "rounding is not blown up"


async def test_when_it_learns(ranks: RankGroup, models: Any) -> None:
    """After a step is scored, before it, or never; what is replayed is scored by the same weights."""
    found = {}
    for order in ("after", "before", "none"):
        plain = prm(order=order, normalise=False, path=str(models["untied"]))
        judge = await service(ranks, models, plain)
        first = await judge.reward(step_of(1), batch("1", "2", replayed=("3",)))
        second = await judge.reward(step_of(2), batch("4", replayed=("3",)))
        found[order] = first, second
    for name in ("1", "2", "3"):
        assert values(found["after"][0], name) == pytest.approx(values(found["none"][0], name), abs=1e-6)
        assert values(found["before"][0], name) != pytest.approx(values(found["none"][0], name), abs=1e-4)
    assert values(found["none"][0], "3") == values(found["none"][1], "3")
    assert values(found["after"][0], "3") != values(found["after"][1], "3"), "the PRM has moved on"
    assert "process/loss" not in found["none"][0].metrics and found["after"][1].metrics["process/updates"] == 2


async def test_replayed_groups_teach_nothing(ranks: RankGroup, models: Any) -> None:
    seen = []
    for replayed in ((), ("3", "4")):
        judge = await service(ranks, models, prm())
        await judge.reward(step_of(1), batch("1", "2", replayed=replayed))
        seen.append(values(await judge.reward(step_of(2), batch("5")), "5"))
    assert seen[0] == pytest.approx(seen[1], abs=1e-6)


async def test_of_several_updates_the_first_is_scored_before_any(ranks: RankGroup, models: Any) -> None:
    still = await service(ranks, models, prm(order="none", normalise=False, path=str(models["untied"])))
    expected = await still.reward(step_of(1), batch("1", "2", "3", "4"))
    moving = await service(ranks, models, prm(learn={"updates": 2}, normalise=False, path=str(models["untied"])))
    found = await moving.reward(step_of(1), batch("1", "2", "3", "4"))
    assert values(found, "1") == pytest.approx(values(expected, "1"), abs=1e-6)
    assert values(found, "4") != pytest.approx(values(expected, "4"), abs=1e-4)
    assert found.metrics["process/updates"] == 2


@pytest.mark.parametrize("loss", ["ce", "dpo", "bon_rm"])
async def test_the_cut_changes_nothing(ranks: RankGroup, models: Any, loss: str) -> None:
    """Of micro-batches, in the rewards of a step and, through its gradients, in those of the next."""
    told = []
    for tokens in (10**6, 1, 60):
        judge = await service(ranks, models, prm(loss=loss, path=str(models["untied"])), tokens)
        first = await judge.reward(step_of(1), batch("1", "2", "3"))
        second = await judge.reward(step_of(2), batch("4", "5"))
        told.append([*values(first, "2"), *values(second, "5")])
    assert told[0] == pytest.approx(told[1], abs=2e-4) and told[0] == pytest.approx(told[2], abs=2e-4)


async def test_the_policy_may_be_the_reference(ranks: RankGroup, models: Any) -> None:
    """Its log-probs are taken before it learns; where they are the PRM's own, there are no rewards."""

    class Policy:
        async def view(self, groups: Any, wants: Any) -> list[Any]:
            assert wants == {"logprobs"}
            return [
                SimpleNamespace(logprobs=[own[r.token_ids.tobytes()] for r in read.group.rollouts]) for read in groups
            ]

    made = batch("1", "2", replayed=("3",))
    own: dict[bytes, Float32] = {}
    model = AutoModelForCausalLM.from_pretrained(models["tied"], dtype=torch.float32)
    for scored in made.learned:
        for rollout in scored.group.rollouts:
            row = unweighted(np.concatenate([scored.group.prompt_ids, rollout.token_ids]), 3)
            own[rollout.token_ids.tobytes()] = naive(model, row).detach().numpy()
    judge = await service(ranks, models, prm(reference="policy"), ahead=Policy())
    found = await judge.reward(step_of(1), made)
    assert max(abs(value) for name in ("1", "2", "3") for value in values(found, name)) < 1e-3
    own = {key: value - 0.5 for key, value in own.items()}
    found = await judge.reward(step_of(2), batch("1", "2", replayed=("3",)))
    assert found.metrics["process/reward_mean"] > 0.2, "each token is half a nat likelier to the PRM"


async def test_rollouts_without_an_outcome_have_no_rewards(ranks: RankGroup, models: Any) -> None:
    made = Batch(1, 1, 0.0, advantages(RlooAdvantage()))
    made.add([group("1", (1, None, 0, 0), 1)])
    judge = await service(ranks, models, prm(granularity="whole", path=str(models["untied"])))
    rewards = (await judge.reward(step_of(1), made)).groups["1"]
    assert not rewards[1].values.any()
    assert [np.flatnonzero(row.values).tolist() for row in (rewards[0], *rewards[2:])] == [[11]] * 3
    made.process = ProcessReward({"1": rewards})
    made.advantage = advantages(PrimeAdvantage(whiten=False))
    assert all(np.ptp(sequence.advantages) == 0 for sequence in made.sequences()), "an outcome reward of the PRM's"


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


async def test_it_goes_on_from_a_checkpoint(ranks: RankGroup, models: Any, tmp_path: Path) -> None:
    """Model and optimizer; and the PRM is there as an ordinary model too."""
    config = prm(learn={"zero": 2})
    judge = await service(ranks, models, config)
    await judge.reward(step_of(1), batch("1", "2"))
    saved = await judge.save(tmp_path)
    assert saved.files.keys() == files_in(tmp_path)
    assert "prm/hf/model.safetensors" in saved.files and not any(name.startswith("hf/") for name in saved.files)
    expected = [await judge.reward(step_of(n), batch(f"{n}0")) for n in (2, 3)]
    resumed = await service(ranks, models, config)
    await resumed.load(tmp_path, saved.state)
    found = [await resumed.reward(step_of(n), batch(f"{n}0")) for n in (2, 3)]
    for one, other, name in zip(found, expected, ("20", "30"), strict=True):
        assert values(one, name) == values(other, name) and one.metrics == other.metrics
    with pytest.raises(UserError, match="written by 3 PRM ranks, not 2"):
        await resumed.load(tmp_path, {**saved.state, "ranks": 3})


@pytest.mark.parametrize("zero", [1, 2])
async def test_asleep_and_awake_again_it_is_what_it_was(ranks: RankGroup, models: Any, zero: int) -> None:
    """As where it shares a GPU: here its tensors go from the host's memory to the host's memory."""
    config = prm(learn={"zero": zero})
    still, moved = [], []
    for found, sleeps in ((still, False), (moved, True)):
        judge = await service(ranks, models, config)
        for n in (1, 2):
            found.append(values(await judge.reward(step_of(n), batch(str(n))), str(n)))
            if sleeps:
                await ranks.all("sleep")
                await ranks.all("wake")
    assert moved == still and any(still[1])


async def test_the_token_that_decides_has_the_largest_reward(ranks: RankGroup, models: Any) -> None:
    judge = await service(ranks, models, prm(learn={"betas": (0.9, 0.95), "lr": 2e-3}))
    for n in range(12):
        await judge.reward(step_of(n + 1), batch(*(str(100 * n + place) for place in range(6)), key=True))
    names = [str(5000 + place) for place in range(8)]
    found = await judge.reward(step_of(13), batch(*names, key=True))
    assert found.metrics["process/accuracy"] > 0.9
    largest = []
    for name in names:
        for rollout, row in zip(
            group(name, (1, 0, 1, 0), int(name), key=True).group.rollouts, found.groups[name], strict=True
        ):
            [place] = np.flatnonzero(rollout.token_ids < 20)
            sign = 1 if rollout.token_ids[place] == 10 else -1
            largest.append(int(np.abs(row.values).argmax()) == place and sign * row.values[place] > 0)
    assert np.mean(largest) > 0.9
