"""How a probe is made, trained on what labels showed, and kept."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from effrl.config.buy import ProbeConfig
from effrl.errors import RunError
from effrl.label.care.features import Features
from effrl.label.care.network import Inputs, inputs_of
from effrl.label.care.records import Lesson, ProbeRecord
from effrl.run.files import written
from effrl.saved import Saved
from effrl.seeds import derive, stream
from effrl.types import Step

LEAST = 8
"""Records of a batch to learn from: with fewer, the batch norms' means are noise."""
CLIP_NORM = 1.0

Network = TypeVar("Network", bound=nn.Module)
MakeNetwork = Callable[[int, int, ProbeConfig], Network]
"""Width of hidden states, rollouts of a group and config → network."""
Draw = Callable[[Sequence[ProbeRecord], int, Random], list[ProbeRecord]]
"""Which of the earlier records an update learns from."""
Loss = Callable[[Network, Inputs, Sequence[ProbeRecord]], Tensor]


@dataclass
class TrainedProbe(Generic[Network]):
    """A network with its optimizer; made when the first group shows how wide hidden states are."""

    name: str
    make: MakeNetwork[Network]
    loss: Loss[Network]
    draw: Draw
    config: ProbeConfig
    rollouts: int
    """Of each group."""
    seed: int
    _made: tuple[Network, torch.optim.Optimizer] | None = field(default=None, init=False)

    def ask(self, groups: Sequence[Features]) -> tuple[Network, Inputs]:
        """The network, ready to predict, and what it is asked about.

        Raises:
            RunError: a group has another number of rollouts.
        """
        for entry in groups:
            if len(entry.shares) != self.rollouts:
                raise RunError(
                    f"label.buy.kind=care and label.rest.kind=gate know groups of rollout.per_prompt"
                    f" ({self.rollouts}) rollouts, and the selector asked for {len(entry.shares)}: take another"
                )
        network, _ = self._at(len(groups[0].prompt))
        return network.eval(), inputs_of(groups)

    def learn(self, step: Step, lesson: Lesson) -> float | None:
        """A few updates on what the step's labels showed and some of what earlier ones did; returns the mean loss.

        None where there is too little to learn from: no label of this step, or fewer than :data:`LEAST` in all.
        """
        batch = min(self.config.history, len(lesson.earlier)) + len(lesson.own)
        if not lesson.own or batch < LEAST:
            return None
        losses = [self._update(step, lesson, number) for number in range(self.config.updates)]
        return sum(losses) / len(losses)

    async def save(self, into: Path) -> Saved:
        if self._made is None:
            return Saved({}, {"hidden": None})
        return Saved(await asyncio.to_thread(self._write, into), {"hidden": self._hidden})

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        self._made = None
        if state["hidden"] is not None:
            network, optimizer = self._at(state["hidden"])
            saved = torch.load(path / self._file, weights_only=True)
            network.load_state_dict(saved["network"])
            optimizer.load_state_dict(saved["optimizer"])

    def _update(self, step: Step, lesson: Lesson, number: int) -> float:
        earlier = self.draw(lesson.earlier, self.config.history, stream(self.seed, self.name, step.number, number))
        records = [*lesson.own, *earlier]
        network, optimizer = self._at(len(records[0].features.prompt))
        loss = self.loss(network.train(), inputs_of([record.features for record in records]), records)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), CLIP_NORM)
        optimizer.step()
        return float(loss.detach())

    def _at(self, hidden: int) -> tuple[Network, torch.optim.Optimizer]:
        if self._made is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(derive(self.seed, self.name))
                network = self.make(hidden, self.rollouts, self.config)
            self._made = network, torch.optim.AdamW(network.parameters(), lr=self.config.lr, weight_decay=0.0)
            self._hidden = hidden
        return self._made

    def _write(self, into: Path) -> dict[str, Any]:
        assert self._made is not None
        network, optimizer = self._made
        path = into / self._file
        torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, path)
        return dict(written(into, [path]))

    @property
    def _file(self) -> str:
        return f"{self.name}.pt"


def balanced(classes: Tensor, count: int) -> Tensor:
    """[count] weights of classes for a loss: N^(-1/2), over its mean over the classes that occur, within [1/4, 4]."""
    numbers = torch.bincount(classes, minlength=count).float()
    present = numbers > 0
    weights = torch.where(present, numbers.clamp(min=1) ** -0.5, torch.zeros_like(numbers))
    scaled = weights / weights[present].mean()
    return torch.where(present, scaled.clamp(0.25, 4.0), torch.zeros_like(scaled))
