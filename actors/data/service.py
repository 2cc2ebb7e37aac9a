"""The data actor as the loop sees it: groups to replay."""

from dataclasses import dataclass
from typing import Any

from actors.wait import answer
from effrl.batch import Stored
from effrl.protocols import Oracle, Rewards
from effrl.replay.rescore import rescored
from effrl.types import (
    Step,
)


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
