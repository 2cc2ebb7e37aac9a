"""The run's labeller, with its time on the clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effrl.batch import Settled
from effrl.protocols import Labeller
from effrl.run.metrics import Stopwatch
from effrl.types import Judged, ReadGroup, Saved, Step, View, Want


@dataclass
class TimedLabeller:
    """A :class:`~effrl.protocols.Labeller` that does what another one does."""

    labeller: Labeller
    clock: Stopwatch

    @property
    def name(self) -> str:
        return self.labeller.name

    @property
    def wants(self) -> frozenset[Want]:
        return self.labeller.wants

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> Sequence[Judged]:
        with self.clock.stage("label"):
            return await self.labeller.assign(step, groups, views)

    async def learn(self, step: Step, settled: Sequence[Settled]) -> Mapping[str, float]:
        return await self.labeller.learn(step, settled)

    async def save(self, into: Path) -> Saved:
        return await self.labeller.save(into)

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        await self.labeller.load(path, state)
