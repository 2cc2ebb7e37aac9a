"""The votes that a probe trusts most train; the other groups are dropped (RLAVR/CARE, stage 1)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from effrl.batch import Settled
from effrl.config.buy import ProbeConfig
from effrl.config.rest import GateRest
from effrl.label.care.network import Inputs, VoteProbe
from effrl.label.care.records import Lesson, ProbeRecord, uniform
from effrl.label.care.training import TrainedProbe, balanced
from effrl.label.halves import Candidate, Left, Trust
from effrl.label.vote import NO_VOTE, majority
from effrl.saved import Saved
from effrl.types import Step, Supervision, Want


class GateFilter:
    """A :class:`~effrl.label.halves.Filter`: a number of places in each step, not a threshold.

    Who has one leaves the ranking, and is bought only if all others are.
    """

    name = "filter"
    wants: frozenset[Want] = frozenset({"prompt", "last"})

    def __init__(self, gate: GateRest, config: ProbeConfig, rollouts: int, seed: int) -> None:
        self.gate = gate
        self.probe = TrainedProbe("vote_probe", VoteProbe, vote_loss, uniform, config, rollouts, seed)

    @torch.no_grad()
    def trust(self, step: Step, candidates: Sequence[Candidate], groups: int) -> list[Trust]:
        seen = [entry.features for entry in candidates if entry.features is not None]
        if not seen:
            return []
        network, inputs = self.probe.ask(seen)
        vote, _ = network(inputs)
        chances = [float(chance) for chance in vote.softmax(1)[:, 1]]
        held = self._held(step, candidates, chances, groups)
        return [Trust(chance, entry.prompt_id in held) for chance, entry in zip(chances, candidates, strict=True)]

    def judge(self, step: Step, left: Sequence[Left]) -> list[Supervision | str]:
        return [self._judge(entry) for entry in left]

    def learn(self, step: Step, settled: Sequence[Settled], lesson: Lesson) -> Mapping[str, float]:
        loss = self.probe.learn(step, lesson)
        return {} if loss is None else {"label/gate_loss": loss}

    async def save(self, into: Path) -> Saved:
        return await self.probe.save(into)

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        await self.probe.load(path, state)

    def _held(self, step: Step, candidates: Sequence[Candidate], chances: Sequence[float], groups: int) -> set[str]:
        """Prompt ids of the trusted votes: the most likely to be right, of equals the smaller id."""
        if step.place <= self.gate.warmup:
            return set()
        places = min(groups, ceil(self.gate.share * groups - 1e-9))
        able = zip(chances, candidates, strict=True)
        order = sorted((-chance, entry.prompt_id) for chance, entry in able if self._may_train(entry))
        return {prompt_id for _, prompt_id in order[:places]}

    def _may_train(self, entry: Candidate) -> bool:
        return not self.gate.contrasting or len(set(entry.read.clusters)) > 1

    def _judge(self, left: Left) -> Supervision | str:
        if not left.trust.held:
            return "its vote is not trusted"
        if (vote := majority(left.candidate.read)) is None:
            return NO_VOTE
        gap, soft = left.rank.score or 0.0, self.gate.soft
        return replace(vote, weight=min(1.0, soft * gap) if soft < 1 else 1.0, confidence=left.trust.score)


def vote_loss(network: VoteProbe, inputs: Inputs, records: Sequence[ProbeRecord]) -> Tensor:
    """Cross-entropy of whether the vote is right, classes balanced, and with its weight that of each rollout."""
    vote, each = network(inputs)
    right = torch.tensor([int(record.vote_right) for record in records])
    rollouts = torch.tensor(np.stack([record.right for record in records])).long()
    main = cross_entropy(vote, right, balanced(right, 2))
    return main + network.auxiliary_weight * cross_entropy(each.flatten(0, 1), rollouts.flatten())
