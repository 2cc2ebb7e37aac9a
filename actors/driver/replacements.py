"""Rollout workers that take the place of lost ones, in a run whose policy has moved on."""

from dataclasses import dataclass
from typing import Any

from actors.cluster import Cluster
from actors.driver.weights import WeightSync


@dataclass
class Replacements:
    """The :class:`~actors.driver.sampler.Replacing` of a run: the newest weights come with a receipt and a canary."""

    cluster: Cluster
    sync: WeightSync

    async def start(self, worker: str, lost: Any) -> Any:
        return await self.cluster.replace(worker, lost)

    async def load(self, worker: str, handle: Any) -> int:
        return await self.sync.hand_to(worker, handle)
