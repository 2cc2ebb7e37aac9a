"""The implicit PRM on a GPU that it shares with an engine and a learner."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.prm.service import PrmService
from actors.wait import answers
from effrl.batch import Batch
from effrl.saved import Saved
from effrl.sequences import ProcessReward
from effrl.types import Step


@dataclass
class PrmInTurns:
    """Process rewards of a PRM whose tensors lie in the host's memory between uses.

    The engine sleeps while the PRM works, and is left asleep: the learner is next, and wakes it when it has learned.
    """

    prm: PrmService
    engines: Mapping[str, Any]
    name = "process"

    async def reward(self, step: Step, batch: Batch) -> ProcessReward:
        asleep = {name: engine.sleep.remote() for name, engine in self.engines.items()}
        await answers(asleep, self.prm.group.wait_s, "sleep")
        async with self._awake():
            return await self.prm.reward(step, batch)

    async def save(self, into: Path) -> Saved:
        async with self._awake():
            return await self.prm.save(into)

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        async with self._awake():
            await self.prm.load(path, state)

    @asynccontextmanager
    async def _awake(self) -> AsyncIterator[None]:
        await self.prm.group.all("wake")
        try:
            yield
        finally:
            await self.prm.group.all("sleep")
