"""What a rank minimises in one step, by rules that travel with the call."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from effrl.advantage.gae import gae, value_loss
from effrl.config.advantage import GaeAdvantage
from effrl.config.loss import AnyLoss, Clip
from effrl.config.schema import Config
from effrl.learn.packing import MicroBatch, Size
from effrl.loss.importance import effective_sample_size, importance_sums
from effrl.loss.policy import k3, policy_loss, token_weights
from effrl.loss.tokens import Tokens
from effrl.types import Canary, Float32

if TYPE_CHECKING:
    from actors.ranks.rank import DeepSpeedRank, FrozenModel, LossSums

PER_TOKEN = {
    "entropy": "policy/entropy",
    "clipped": "policy/clip_fraction",
    "mismatch_kl": "mismatch/kl",
    "truncated": "mismatch/truncated_fraction",
    "kl": "loss/kl",
    "value": "loss/value",
}
"""Sums over the tokens that are learned from, and the metrics that their means are."""
LARGEST = "mismatch/weight_max"
"""The largest importance weight of a token, before it is cut."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How one step learns. Stages of a run may have different ones, so nothing of it is fixed when a rank starts."""

    loss: AnyLoss
    learning_rate: float
    temperature: float = 1.0
    """At which rollouts are sampled: their log-probs are of logits divided by it, and so are all that they meet."""
    gae: GaeAdvantage | None = None
    """Where advantages come from a value head."""
    clip: Clip = "centered"
    """Where the clip of a token lies that an older policy sampled."""


def rules_of(config: Config, learning_rate: float) -> Rules:
    """The rules of a config, at one learning rate of its schedule."""
    return Rules(
        loss=config.loss,
        learning_rate=learning_rate,
        temperature=config.rollout.temperature,
        gae=config.advantage.value_function,
        clip=config.replay.clip if config.replay else "centered",
    )


@dataclass(frozen=True)
class Watch:
    """Looks for whole sequences of a canary in the forward passes of an update, and keeps their log-probs."""

    canary: Canary
    found: dict[int, Float32] = field(default_factory=dict)
    """Log-probs [T] of the sampled tokens, by the sequence's place in the canary."""

    def see(self, batch: MicroBatch, logprobs: torch.Tensor) -> None:
        lengths = batch.attention.sum(1)
        for place, (ids, start) in enumerate(zip(self.canary.ids, self.canary.prompt_lengths, strict=True)):
            end = len(ids)
            for row in np.flatnonzero(lengths == end):
                if np.array_equal(batch.ids[row, :end], ids) and batch.mask[row, start:end].all():
                    self.found[place] = as_array(logprobs[row, start:end])


@dataclass(frozen=True)
class Objective:
    """One step of one rank; every method is called on all ranks in the same order."""

    engine: "DeepSpeedRank"
    reference: "FrozenModel | None"
    """The initial model, where a loss keeps the policy near it."""
    rules: Rules

    def step(
        self, updates: Sequence[Sequence[MicroBatch]], sizes: Sequence[Size], watch: Watch | None = None
    ) -> dict[str, float]:
        """One optimizer step per update, over this rank's micro-batches of it; ``watch`` sees the first one's.

        Metrics are means over the updates, but for the largest weight, which is the largest of all.

        The old policy is that before the first update, for all of them. The first has it in its own forward pass; for
        the others it is scored ahead, unless it was when the labeller looked at the step.
        """
        self.engine.set_learning_rate(self.rules.learning_rate)
        prepared, found = self._prepared(updates)
        watches = [watch, *(None for _ in sizes[1:])]
        done = [self._update(*entry) for entry in zip(prepared, sizes, watches, strict=True)]
        means = {name: sum(metrics[name] for metrics in done) / len(done) for name in done[0]}
        return {**means, LARGEST: max(metrics[LARGEST] for metrics in done), **found}

    def _prepared(self, updates: Sequence[Sequence[MicroBatch]]) -> tuple[list[list[MicroBatch]], dict[str, float]]:
        """Micro-batches with what must be known of the old policy before the first update, and metrics of that."""
        config, evened = self.rules.gae, [self.engine.even(batches) for batches in updates]
        if config is not None:
            return standardised([[self._valued(batch, config) for batch in batches] for batches in evened], self.engine)
        if all(batch.old is not None for batches in updates[1:] for batch in batches):
            return evened, {}
        first, *later = evened
        return [first, *([self._with_old(batch) for batch in batches] for batches in later)], {}

    @torch.no_grad()
    def _with_old(self, batch: MicroBatch) -> MicroBatch:
        logprobs, *_ = self.engine.score(batch, self.rules.temperature)
        return replace(batch, old=as_array(logprobs))

    @torch.no_grad()
    def _valued(self, batch: MicroBatch, config: GaeAdvantage) -> MicroBatch:
        """With values, returns and raw advantages; until now, what stands for advantages are the tokens' rewards."""
        logprobs, _, values = self.engine.score(batch, self.rules.temperature)
        rewards, mask = (torch.tensor(array, device=values.device) for array in (batch.advantages, batch.mask))
        advantages, returns = gae(rewards, values, mask, config.gamma, config.lam)
        return replace(
            batch,
            old=as_array(logprobs),
            values=as_array(values),
            returns=as_array(returns),
            advantages=as_array(advantages),
        )

    def _update(self, batches: Sequence[MicroBatch], size: Size, watch: Watch | None) -> dict[str, float]:
        """One optimizer step; ``size`` counts the sequences of all ranks."""
        sums = self.engine.accumulate(batches, partial(self._loss, watch=watch), size.denominator)
        norm = self.engine.step()
        absent = {"kl"} if self.reference is None else set[str]()
        absent |= {"value"} if self.rules.gae is None else set()
        names = ["policy", "weight", "weight_squared", *(name for name in PER_TOKEN if name not in absent)]
        totals = self.engine.sum_over_ranks([float(sums[name]) if name in sums else 0.0 for name in names])
        policy, weight, squared, *others = totals
        tokens = max(1, size.tokens)  # none where the KL term is all that there is to learn from
        return {
            "loss/policy": policy / size.denominator,
            "policy/grad_norm": norm,
            "mismatch/ess": effective_sample_size(weight, squared) / tokens,
            LARGEST: self.engine.max_over_ranks(float(sums.get("weight_max", 0.0))),
            **{PER_TOKEN[name]: total / tokens for name, total in zip(names[3:], others, strict=True)},
        }

    def _loss(self, batch: MicroBatch, watch: Watch | None) -> "LossSums":
        temperature = self.rules.temperature
        logprobs, entropy, *values = self.engine.score(batch, temperature)
        if watch is not None:
            watch.see(batch, logprobs.detach())
        behaviour, sampled = self._on_device(batch.behaviour, batch.mask)
        advantages, weight, offset, learned = self._on_device(
            batch.advantages, batch.weight, batch.offset, batch.learned
        )
        old = logprobs.detach() if batch.old is None else torch.tensor(batch.old, device=logprobs.device)
        mask = sampled * learned
        reference = self.reference.logprobs(batch, temperature) if self.reference else None
        tokens = Tokens(logprobs, old, behaviour, weight * (advantages + offset), mask, reference, sampled)
        sums = {**policy_loss(self.rules.loss, tokens, self.rules.clip), **importance_sums(tokens)}
        mismatch = k3(behaviour, old, mask)  # KL(engine, learner)
        sums |= {"entropy": (entropy * mask).sum(), "mismatch_kl": mismatch.sum()}
        return self._with_value_loss(sums, batch, *values) if values else sums

    def _with_value_loss(self, sums: "LossSums", batch: MicroBatch, values: torch.Tensor) -> "LossSums":
        """A group that counts half for the policy counts half for the value function."""
        config = self.rules.gae
        assert config is not None and batch.values is not None and batch.returns is not None
        old, returns = self._on_device(batch.values, batch.returns)
        sampled, learned, weight = self._on_device(batch.mask, batch.learned, batch.weight)
        mask = sampled * learned
        losses = value_loss(values, old, returns, config.value_clip) * mask
        weighted = (losses * weight * token_weights(mask, self.rules.loss.reduce)).sum()
        return {**sums, "loss": sums["loss"] + config.value_weight * weighted, "value": losses.detach().sum()}

    def _on_device(self, *arrays: Float32) -> list[torch.Tensor]:
        return [torch.tensor(array, device=self.engine.device) for array in arrays]


def standardised(
    updates: list[list[MicroBatch]], engine: "DeepSpeedRank"
) -> tuple[list[list[MicroBatch]], dict[str, float]]:
    """Advantages of mean 0 and variance 1 over all tokens of the step that are learned from, on all ranks.

    Each token counts alike, whatever the weight of its group: a weight scales its own group's gradient and no other's.

    Returns:
        The micro-batches, and what share of the returns' variance the values explain: the rest is the advantages'.
    """
    own = np.sum([np.zeros(5), *(_moments(batch) for batches in updates for batch in batches)], axis=0)
    tokens, *moments = engine.sum_over_ranks(own.tolist())
    mean, square, returns_mean, returns_square = (moment / max(1, tokens) for moment in moments)
    variance, returns_variance = square - mean**2, returns_square - returns_mean**2
    scale = (max(variance, 0.0) + 1e-8) ** -0.5
    explained = 1 - variance / returns_variance if returns_variance > 0 else float("nan")
    scaled = [[_scaled(batch, mean, scale) for batch in batches] for batches in updates]
    return scaled, {"value/explained_variance": explained}


def _moments(batch: MicroBatch) -> NDArray[np.float64]:
    """Tokens; sum and sum of squares of their advantages; the same of their returns."""
    assert batch.returns is not None
    inside = batch.mask * batch.learned > 0
    advantages, returns = (array[inside].astype(np.float64) for array in (batch.advantages, batch.returns))
    return np.array([inside.sum(), advantages.sum(), advantages @ advantages, returns.sum(), returns @ returns])


def _scaled(batch: MicroBatch, mean: float, scale: float) -> MicroBatch:
    return replace(batch, advantages=np.float32(scale) * (batch.advantages - np.float32(mean)) * batch.mask)


def as_array(tensor: torch.Tensor) -> Float32:
    """The values in NumPy and float32, off the device."""
    return np.asarray(tensor.cpu().numpy(), np.float32)
