"""The data actor as the loop sees it: groups to replay, and a part of a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.wait import answer
from effrl.batch import Stored
from effrl.protocols import Oracle, Rewards
from effrl.replay.rescore import rescored
from effrl.saved import Saved
from effrl.types import Step


@dataclass
class DataPart:
    """The :class:`~effrl.protocols.Part` of selector, prompts and replay, which are the data actor's."""

    data: Any
    wait_s: float
    name = "data"

    async def save(self, into: Path) -> Saved:
        saved: Saved = await answer(self.data.save.remote(into), self.wait_s, "saving its state", "data")
        return saved

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        await answer(self.data.load.remote(path), self.wait_s, "restoring its state", "data")


@dataclass
class ReplayService:
    """Draws groups of earlier steps from the data actor; what was voted on then has its label where it is owned now."""

    data: Any
    oracle: Oracle
    rewards: Rewards
    wait_s: float

    async def draw(self, step: Step, count: int) -> list[Stored]:
        if not count:
            return []
        drawn = await answer(self.data.replay.remote(step.number, count), self.wait_s, "groups to replay", "data")
        return await rescored(step, drawn, self.oracle, self.rewards)
