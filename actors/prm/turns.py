"""The implicit PRM on a GPU that it shares with an engine and a learner."""

from collections.abc import Mapping
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
        await self.prm.group.all("wake")
        try:
            return await self.prm.reward(step, batch)
        finally:
            await self.prm.group.all("sleep")

    async def save(self, into: Path) -> Saved:
        await self.prm.group.all("wake")
        try:
            return await self.prm.save(into)
        finally:
            await self.prm.group.all("sleep")

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        await self.prm.group.all("wake")
        try:
            await self.prm.load(path, state)
        finally:
            await self.prm.group.all("sleep")
