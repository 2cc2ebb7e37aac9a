"""The groups whose label is expected to correct the gradient most (RLAVR/CARE, stage 2)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from effrl.batch import Settled
from effrl.config.buy import CareBuy, ProbeConfig
from effrl.label.buy.entropy import EntropyBuyer
from effrl.label.care.features import Features
from effrl.label.care.network import CountProbe, Inputs
from effrl.label.care.records import Lesson, ProbeRecord, stratified
from effrl.label.care.training import TrainedProbe, balanced
from effrl.label.halves import Candidate, Rank
from effrl.saved import Saved
from effrl.types import Step, Want


class CareBuyer:
    """A :class:`~effrl.label.halves.Buyer`: by the expected corrective advantage gap, the largest first.

    A probe predicts how many rollouts outside the majority are right; each number has its gap in closed form.
    """

    name = "buyer"
    wants: frozenset[Want] = frozenset({"prompt", "last"})

    def __init__(self, buy: CareBuy, config: ProbeConfig, rollouts: int, seed: int) -> None:
        self.warmup = buy.warmup
        self.probe = TrainedProbe("count_probe", CountProbe, count_loss, stratified, config, rollouts, seed)

    async def rank(self, step: Step, candidates: Sequence[Candidate]) -> list[Rank]:
        if step.place <= self.warmup:
            return await EntropyBuyer().rank(step, candidates)
        seen = [entry.features for entry in candidates if entry.features is not None]
        return self._rank(seen) if seen else []

    @torch.no_grad()
    def _rank(self, seen: Sequence[Features]) -> list[Rank]:
        network, inputs = self.probe.ask(seen)
        chances = network(inputs).softmax(1)
        gaps, likeliest = expected_gaps(chances, inputs.gaps), chances.argmax(1)
        return [Rank(float(gap), {"right": int(right)}) for gap, right in zip(gaps, likeliest, strict=True)]

    def learn(self, step: Step, settled: Sequence[Settled], lesson: Lesson) -> Mapping[str, float]:
        loss = self.probe.learn(step, lesson)
        return {} if loss is None else {"label/buyer_loss": loss}

    async def save(self, into: Path) -> Saved:
        return await self.probe.save(into)

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        await self.probe.load(path, state)


def expected_gaps(chances: Tensor, gaps: Tensor) -> Tensor:
    """[B] Σ chance x gap over the numbers of right rollouts, of [B, n + 1] each."""
    return (chances * gaps).sum(1)


def count_loss(network: CountProbe, inputs: Inputs, records: Sequence[ProbeRecord]) -> Tensor:
    """Cross-entropy of how many other rollouts are right, classes balanced.

    Raises:
        ValueError: of a record that is no sum of its clusters' sizes, and would have an infinite loss.
    """
    right = torch.tensor([record.others_right for record in records])
    if not inputs.admissible.gather(1, right[:, None]).all():
        raise ValueError(f"no sum of the sizes of the clusters outside the majority is among {right.tolist()}")
    logits = network(inputs)
    return cross_entropy(logits, right, balanced(right, logits.shape[1]))
