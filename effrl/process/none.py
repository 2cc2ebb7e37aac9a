"""A run without process rewards, or a stage of one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effrl.batch import Batch
from effrl.protocols import ProcessRewards
from effrl.saved import Saved
from effrl.sequences import ProcessReward
from effrl.stateless import StatelessPart
from effrl.types import Step


class NoProcess(StatelessPart):
    """The :class:`~effrl.protocols.ProcessRewards` of a run that has outcome rewards alone."""

    name = "process"

    async def reward(self, step: Step, batch: Batch) -> ProcessReward:
        return ProcessReward()


@dataclass
class RestingProcess:
    """Process rewards that rest in some stages: then nothing is asked of them, and they learn nothing."""

    inner: ProcessRewards
    rests: bool = False
    name = "process"

    async def reward(self, step: Step, batch: Batch) -> ProcessReward:
        return ProcessReward() if self.rests else await self.inner.reward(step, batch)

    async def save(self, into: Path) -> Saved:
        return await self.inner.save(into)

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        await self.inner.load(path, state)
