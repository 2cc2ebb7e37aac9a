"""Every loss and reduction against loops written from the papers, hand-computed numbers, and any cut of the batch."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from effrl.config.loss import AnyLoss, CispoLoss, ClippedLoss, GspoLoss, PluginLoss
from effrl.errors import RunError, UserError
from effrl.learn.packing import size_of
from effrl.loss.build import surrogate as surrogate_of
from effrl.loss.importance import importance
from effrl.loss.policy import policy_loss
from effrl.loss.tokens import Tokens
from effrl.sequences import Portion, TrainingSequence

MAX_TOKENS = 20
LIMITS = {"clip_low": 0.2, "clip_high": 0.28, "tis_cap": 2.0, "tis_floor": 0.4}
KINDS = (ClippedLoss, GspoLoss, CispoLoss)
CONFIGS = [
    kind(**LIMITS, reduce=reduce, kl=kl, beyond_cap=beyond)
    for kind in KINDS
    for reduce in ("token", "sequence", "constant")
    for kl, beyond in ((0.0, "truncate"), (0.1, "mask"))
]
every_loss = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.kind}-{c.reduce}-kl{c.kl}-{c.beyond_cap}")


@dataclass(frozen=True)
class Rollout:
    """Log-probs of the sampled tokens of one sequence."""

    new: list[float]
    old: list[float]
    behaviour: list[float]
    reference: list[float]
    advantage: float


def rollouts(lengths: st.SearchStrategy[int]) -> st.SearchStrategy[Rollout]:
    def of(length: int) -> st.SearchStrategy[Rollout]:
        column = st.lists(st.floats(-2, 0), min_size=length, max_size=length)
        return st.builds(Rollout, column, column, column, column, st.floats(-2, 2))

    return lengths.flatmap(of)


batches = st.lists(rollouts(st.integers(1, 6)), min_size=1, max_size=6)


# --- a second implementation


def clip(value: float) -> float:
    return min(max(value, 1 - LIMITS["clip_low"]), 1 + LIMITS["clip_high"])


def geometric_mean_ratio(rollout: Rollout) -> float:
    gaps = [new - old for new, old in zip(rollout.new, rollout.old, strict=True)]
    return math.exp(sum(gaps) / len(gaps))


def surrogate(config: AnyLoss, rollout: Rollout, t: int, frozen: Rollout) -> float:
    """One token, as the papers have it; ``frozen`` is the policy inside stop-gradients."""
    ratio, advantage = math.exp(rollout.new[t] - rollout.old[t]), rollout.advantage
    if config.kind == "cispo":
        return clip(math.exp(frozen.new[t] - frozen.old[t])) * advantage * rollout.new[t]
    if config.kind == "gspo":
        ratio = geometric_mean_ratio(rollout)
    return min(ratio * advantage, clip(ratio) * advantage)


def token_loss(config: AnyLoss, rollout: Rollout, t: int, frozen: Rollout) -> float:
    weight, cap = math.exp(rollout.old[t] - rollout.behaviour[t]), LIMITS["tis_cap"]
    if config.beyond_cap == "mask":
        weight = weight if LIMITS["tis_floor"] <= weight <= cap else 0.0
    weight = min(weight, cap)
    ratio = math.exp(rollout.reference[t] - rollout.new[t])
    return -weight * surrogate(config, rollout, t, frozen) + config.kl * (ratio - math.log(ratio) - 1)


def naive(config: AnyLoss, batch: list[Rollout], frozen: list[Rollout] | None = None) -> float:
    """The loss of a whole step, as a mean of means where the paper has one."""
    losses = [
        [token_loss(config, rollout, t, fixed) for t in range(len(rollout.new))]
        for rollout, fixed in zip(batch, frozen or batch, strict=True)
    ]
    if config.reduce == "token":
        flat = [value for row in losses for value in row]
        return sum(flat) / len(flat)
    if config.reduce == "sequence":
        return sum(sum(row) / len(row) for row in losses) / len(losses)
    return sum(value / MAX_TOKENS for row in losses for value in row) / len(losses)


def naive_gradient(config: AnyLoss, batch: list[Rollout], row: int, t: int, step: float = 1e-5) -> float:
    """By central differences of the loop above, what is inside a stop-gradient held fast."""

    def moved(by: float) -> float:
        rollout = batch[row]
        new = [*rollout.new[:t], rollout.new[t] + by, *rollout.new[t + 1 :]]
        changed = Rollout(new, rollout.old, rollout.behaviour, rollout.reference, rollout.advantage)
        return naive(config, [*batch[:row], changed, *batch[row + 1 :]], batch)

    return (moved(step) - moved(-step)) / (2 * step)


# --- the real one


def padded(rows: list[list[float]], filling: float) -> Tensor:
    """[B, 2 + longest]: two tokens of the prompt, the sampled ones, padding."""
    longest = max(map(len, rows))
    values = [[filling, filling, *row, *[filling] * (longest - len(row))] for row in rows]
    return torch.tensor(values, dtype=torch.float64)


def tokens_of(batch: list[Rollout], with_reference: bool) -> Tokens:
    """What stands outside the mask differs from array to array: none of it may count."""
    return Tokens(
        logprobs=padded([rollout.new for rollout in batch], -1.1).requires_grad_(),
        old=padded([rollout.old for rollout in batch], -2.3),
        behaviour=padded([rollout.behaviour for rollout in batch], 0.0),
        advantages=padded([[rollout.advantage] * len(rollout.new) for rollout in batch], 3.0),
        mask=padded([[1.0] * len(rollout.new) for rollout in batch], 0.0),
        reference=padded([rollout.reference for rollout in batch], -0.7) if with_reference else None,
    )


Sums = dict[str, float]
Gradients = list[list[float]]


def sums(config: AnyLoss, batch: list[Rollout]) -> tuple[Sums, Gradients]:
    """Sums of one micro-batch, and the gradient of each sampled token."""
    tokens = tokens_of(batch, config.kl > 0)
    found = policy_loss(config, tokens)
    found["loss"].backward()
    assert tokens.logprobs.grad is not None
    assert (tokens.logprobs.grad[tokens.mask == 0] == 0).all()
    gradients = [row[mask == 1].tolist() for row, mask in zip(tokens.logprobs.grad, tokens.mask, strict=True)]
    return {name: value.item() for name, value in found.items()}, gradients


def denominator(config: AnyLoss, batch: list[Rollout]) -> int:
    def sequence(length: int) -> TrainingSequence:
        return TrainingSequence(np.zeros(2 + length, np.int32), 2, *(np.zeros((2, length), np.float32)))

    return size_of(Portion([sequence(len(rollout.new)) for rollout in batch]), config, MAX_TOKENS).denominator


@every_loss
@settings(max_examples=25)
@given(batch=batches)
def test_the_loss_is_that_of_a_loop(config: AnyLoss, batch: list[Rollout]) -> None:
    found, _ = sums(config, batch)
    assert found["loss"] / denominator(config, batch) == pytest.approx(naive(config, batch), abs=1e-9)


@every_loss
@settings(max_examples=15)
@given(batch=st.lists(rollouts(st.integers(1, 4)), min_size=1, max_size=3))
def test_the_gradient_is_that_of_a_loop(config: AnyLoss, batch: list[Rollout]) -> None:
    """GSPO is checked against its sequence-level objective (eq. 5), not against the token-wise form of the code."""
    for rollout in batch:
        ratios = [math.exp(new - old) for new, old in zip(rollout.new, rollout.old, strict=True)]
        for edge in (1 - LIMITS["clip_low"], 1 + LIMITS["clip_high"]):
            assume(all(abs(ratio - edge) > 1e-3 for ratio in [*ratios, geometric_mean_ratio(rollout)]))
    if config.kind == "gspo":  # a token's weight between engine and learner has no part in the paper's objective
        batch = [Rollout(r.new, r.old, r.old, r.reference, r.advantage) for r in batch]
    _, gradients = sums(config, batch)
    for row, rollout in enumerate(batch):
        for t in range(len(rollout.new)):
            actual = gradients[row][t] / denominator(config, batch)
            assert actual == pytest.approx(naive_gradient(config, batch, row, t), abs=1e-7, rel=1e-6)


@every_loss
@settings(max_examples=25)
@given(batch=batches, data=st.data())
def test_no_cut_into_micro_batches_changes_a_sum(config: AnyLoss, batch: list[Rollout], data: st.DataObject) -> None:
    """docs/design.md, invariant 5: nor does it change any token's gradient."""
    order = data.draw(st.permutations(range(len(batch))))
    edges = sorted(data.draw(st.sets(st.integers(1, len(batch) - 1)))) if len(batch) > 1 else []
    parts = [order[start:end] for start, end in zip([0, *edges], [*edges, len(batch)], strict=True)]
    whole, gradients = sums(config, batch)
    total: Sums = dict.fromkeys(whole, 0.0)
    for part in parts:
        found, its_gradients = sums(config, [batch[index] for index in part])
        total = {name: total[name] + found[name] for name in total}
        for index, gradient in zip(part, its_gradients, strict=True):
            assert gradient == pytest.approx(gradients[index], rel=1e-9, abs=1e-12)
    assert total == pytest.approx(whole, rel=1e-9, abs=1e-9)


# --- by hand


def by_hand(new: list[float], old: list[float], advantages: list[float]) -> Tokens:
    row = torch.tensor([new], requires_grad=True)
    return Tokens(row, torch.tensor([old]), torch.tensor([old]), torch.tensor([advantages]), torch.ones(1, len(new)))


def gradient(config: AnyLoss, tokens: Tokens) -> list[float]:
    policy_loss(config, tokens)["loss"].backward()
    assert tokens.logprobs.grad is not None
    return tokens.logprobs.grad[0].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_on_policy_every_loss_is_reinforce(kind: type[ClippedLoss | GspoLoss | CispoLoss]) -> None:
    """With old = new, the ratio is 1 and its gradient that of the log-prob: -weight x advantage."""
    new = torch.tensor([[-1.0, -2.0, -0.5]], requires_grad=True)
    behaviour = new.detach() - torch.tensor([[0.0, math.log(3), math.log(1.5)]])  # weights 1, 3 (capped at 2), 1.5
    tokens = Tokens(new, new.detach(), behaviour, torch.tensor([[1.0, -1.0, 2.0]]), torch.ones(1, 3))
    assert gradient(kind(reduce="token"), tokens) == pytest.approx([-1.0, 2.0, -3.0], abs=1e-6)
    assert policy_loss(kind(), tokens)["truncated"].item() == 1


def test_beyond_the_clip_there_is_no_gradient() -> None:
    new, old = [-0.7, -1.3, -0.7, -1.3], [-1.0, -1.0, -1.0, -1.0]
    tokens = by_hand(new, old, [1.0, -1.0, -1.0, 1.0])  # the first two are clipped, the last two are not
    expected = [0, 0, math.exp(0.3), -math.exp(-0.3)]
    assert gradient(ClippedLoss(), tokens) == pytest.approx(expected, abs=1e-6)
    assert policy_loss(ClippedLoss(), tokens)["clipped"].item() == 2


def test_gspo_clips_a_sequence_as_a_whole() -> None:
    """Ratios e^.3, e^-.3 and e^.0003: the sequence's is e^.0001, within the paper's range; e^.00045 is beyond it."""
    within = by_hand([-0.7, -1.3, -0.9997], [-1.0, -1.0, -1.0], [1.0] * 3)
    assert gradient(GspoLoss(), within) == pytest.approx([-math.exp(1e-4) / 3] * 3, rel=1e-5)
    beyond = by_hand([-0.7, -1.3, -0.99865], [-1.0, -1.0, -1.0], [1.0] * 3)
    assert gradient(GspoLoss(), beyond) == [0, 0, 0]
    assert policy_loss(GspoLoss(), beyond)["clipped"].item() == 3


def test_cispo_clips_the_weight_and_keeps_the_gradient() -> None:
    """Ratios e and 1/e: the first counts with 1.28 and not with e, the second as it is, or 0.8 with a lower bound."""
    tokens = by_hand([0.0, -2.0], [-1.0, -1.0], [1.0, 1.0])
    assert gradient(CispoLoss(clip_high=0.28), tokens) == pytest.approx([-1.28, -1 / math.e], rel=1e-5)
    tokens = by_hand([0.0, -2.0], [-1.0, -1.0], [1.0, 1.0])
    assert gradient(CispoLoss(clip_low=0.2), tokens) == pytest.approx([-math.e, -0.8], rel=1e-5)
    assert policy_loss(CispoLoss(clip_low=0.2), tokens)["clipped"].item() == 1


def test_reductions_by_hand() -> None:
    """Sequences of one token and of three, advantages 1 and 2, on policy: the surrogate of a token is its advantage."""
    batch = [Rollout([-1.0], [-1.0], [-1.0], [-1.0], 1.0), Rollout([-1.0] * 3, [-1.0] * 3, [-1.0] * 3, [-1.0] * 3, 2.0)]
    expected = {"token": (7.0, 4), "sequence": (3.0, 2), "constant": (7.0, 2 * MAX_TOKENS)}
    for reduce, (total, size) in expected.items():
        config = ClippedLoss(reduce=reduce)  # type: ignore[arg-type]
        assert (sums(config, batch)[0]["loss"], denominator(config, batch)) == (pytest.approx(-total), size)


def test_the_divergence_by_hand() -> None:
    """pi = 1/2 and pi_reference = 1/4: r = 1/2, so 1/2 + log 2 - 1; its gradient is 1 - r. The same policy: zeros."""
    half, quarter = math.log(0.5), math.log(0.25)
    tokens = tokens_of([Rollout([half, half], [half] * 2, [half] * 2, [quarter, half], 0.0)], with_reference=True)
    found = policy_loss(ClippedLoss(kl=0.1), tokens)
    assert found["kl"].item() == pytest.approx(math.log(2) - 0.5)
    assert found["loss"].item() == pytest.approx(0.1 * (math.log(2) - 0.5))
    found["loss"].backward()
    assert tokens.logprobs.grad is not None
    assert tokens.logprobs.grad[0].tolist() == pytest.approx([0, 0, 0.1 * 0.5, 0])


@every_loss
def test_rows_and_tokens_without_weight_count_nowhere(config: AnyLoss) -> None:
    """A row whose mask is 0 throughout stands in for a rank without sequences; there, r = e^200 overflows a float32."""
    new = torch.zeros(2, 2, requires_grad=True)
    mask = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    far = torch.tensor([[0.0, 200.0], [200.0, 200.0]])
    tokens = Tokens(new, new.detach(), new.detach() - 5 * (1 - mask), torch.ones(2, 2), mask, far)
    found = policy_loss(config, tokens)
    found["loss"].backward()
    assert found["loss"].item() == -1.0 or (config.kind == "cispo" and found["loss"].item() == 0.0)
    assert new.grad is not None
    assert new.grad[0, 0] == -1 and (new.grad.flatten()[1:] == 0).all()
    assert (found["truncated"].item(), found["clipped"].item(), found["kl"].item()) == (0, 0, 0)


# --- what is not learned from, and what counts less


def row_weights(tokens: Tokens, learned: list[float]) -> Tokens:
    """The same tokens, of which rows with 0 are there for the KL term alone."""
    rows = torch.tensor(learned, dtype=torch.float64)[:, None]
    return replace(tokens, mask=tokens.mask * rows, sampled=tokens.mask, advantages=tokens.advantages * rows)


@every_loss
@settings(max_examples=25)
@given(batch=st.lists(rollouts(st.integers(1, 4)), min_size=2, max_size=5))
def test_a_row_without_signal_has_a_part_in_the_divergence_alone(config: AnyLoss, batch: list[Rollout]) -> None:
    """The policy term is that of the other rows, the KL term that of all; the metrics are of the other rows."""
    tokens = row_weights(tokens_of(batch, config.kl > 0), [0.0] + [1.0] * (len(batch) - 1))
    found = policy_loss(config, tokens)
    found["loss"].backward()
    others, _ = sums(config, batch[1:])
    silent = Rollout(batch[0].new, batch[0].old, batch[0].behaviour, batch[0].reference, 0.0)
    penalty, gradients = sums(config, [silent])
    assert found["policy"].item() == pytest.approx(others["policy"], abs=1e-9)
    assert found["loss"].item() == pytest.approx(others["loss"] + penalty["loss"], abs=1e-9)
    for name in ("clipped", "truncated", *(["kl"] if config.kl else [])):
        assert found[name].item() == pytest.approx(others[name], abs=1e-9)
    assert tokens.logprobs.grad is not None
    own = tokens.logprobs.grad[0][tokens.sampled[0] == 1]  # type: ignore[index]
    assert own.tolist() == pytest.approx(gradients[0], abs=1e-12)
    assert config.kl or not own.any()


@every_loss
@settings(max_examples=25)
@given(batch=batches, weight=st.sampled_from([0.0, 0.25, 0.5, 2.0]))
def test_a_weight_scales_the_gradient_of_its_tokens(config: AnyLoss, batch: list[Rollout], weight: float) -> None:
    """Whatever was clipped; the KL term is not weighted."""
    if config.kl:
        return
    whole, part = tokens_of(batch, False), tokens_of(batch, False)
    policy_loss(config, whole)["loss"].backward()
    policy_loss(config, replace(part, advantages=weight * part.advantages))["loss"].backward()
    torch.testing.assert_close(part.logprobs.grad, weight * whole.logprobs.grad, rtol=1e-12, atol=1e-15)  # type: ignore[operator]


# --- the correction


def test_tokens_beyond_the_band_teach_nothing() -> None:
    """IcePop's band is asymmetric: weights 0.4, 0.5, 5 and 6 of a band from 0.5 to 5."""
    gaps = torch.tensor([[0.4, 0.5000001, 4.999999, 6.0]]).log()
    mask = ClippedLoss(beyond_cap="mask", tis_cap=5.0, tis_floor=0.5)
    weight, outside = importance(gaps, mask)
    assert weight[0].tolist() == pytest.approx([0, 0.5, 5, 0], abs=1e-5)
    assert outside[0].tolist() == [True, False, False, True]
    weight, cut = importance(gaps, ClippedLoss(tis_cap=5.0))
    assert weight[0].tolist() == pytest.approx([0.4, 0.5, 5, 5], abs=1e-5)
    assert cut[0].tolist() == [False, False, False, True], "the floor is of the mask alone"


# --- your own


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "plugins"))


def own_tokens() -> Tokens:
    row = torch.tensor([[-1.0, -2.0, -0.5]], requires_grad=True)
    advantages, mask = torch.tensor([[1.0, -1.0, 9.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    return Tokens(row, row.detach(), row.detach() - math.log(1.5), advantages, mask)


@pytest.mark.parametrize("name", ["reinforce", "far_only"])
def test_a_loss_of_your_own(plugins: None, name: str) -> None:
    """Importance weights and the reduction are around it as around any other; what stands outside may be anything."""
    expected, tokens = own_tokens(), own_tokens()
    policy_loss(ClippedLoss(reduce="sequence"), expected)["loss"].backward()
    policy_loss(PluginLoss(kind=f"losses:{name}", reduce="sequence"), tokens)["loss"].backward()
    assert tokens.logprobs.grad is not None and expected.logprobs.grad is not None
    assert tokens.logprobs.grad[0, :2].tolist() == pytest.approx([-1.5 / 2, 1.5 / 2])
    if name == "reinforce":
        assert torch.allclose(tokens.logprobs.grad, expected.logprobs.grad)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mean", r"returned shapes \[\(\), \(1, 3\)\] for tokens of shape \(1, 3\)"),
        ("only_surrogates", "'losses:only_surrogates' failed: ValueError"),
        ("not_finite", "returned surrogates that are not finite"),
        ("without_gradient", "returned surrogates without a gradient"),
        ("failing", "'losses:failing' failed: ZeroDivisionError"),
    ],
)
def test_what_a_loss_of_your_own_returns_is_checked(plugins: None, name: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        policy_loss(PluginLoss(kind=f"losses:{name}"), own_tokens())


def test_a_loss_that_is_not_there(plugins: None) -> None:
    with pytest.raises(UserError, match=r"loss.kind 'losses:reinforced'.*did you mean 'reinforce'"):
        surrogate_of(PluginLoss(kind="losses:reinforced"), "centered")
