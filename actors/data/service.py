"""The data actor as the loop sees it: feedback, and groups to replay."""

from dataclasses import dataclass
from typing import Any

from actors.wait import answer
from effrl.batch import Batch
from effrl.protocols import Oracle, Rewards
from effrl.replay.rescore import rescored
from effrl.types import (
    Observation,
    Stored,
)


@dataclass
class ReplayService:
    """Draws groups of earlier steps from the data actor; what was voted on then has its label where it is owned now."""

    data: Any
    oracle: Oracle
    rewards: Rewards
    wait_s: float

    async def draw(self, step: int, count: int) -> list[Stored]:
        if not count:
            return []
        drawn = await answer(self.data.replay.remote(step, count), self.wait_s, "groups to replay", "data")
        return await rescored(drawn, self.oracle, self.rewards)


async def observe(data: Any, batch: Batch, replay: bool, wait_s: float) -> dict[str, float]:
    """Tell the data actor the outcomes of a step, groups without signal included; returns its metrics.

    With ``replay`` it gets the groups themselves, with all tokens.
    """
    seen = [
        Observation(scored.group.prompt, float(sum(outcomes)), len(outcomes))
        for scored in (settled.scored for settled in batch.settled)
        if (outcomes := [score.outcome for score in scored.scores if score.outcome is not None])
    ]
    settled = batch.settled if replay else []
    return await answer(data.observe.remote(batch.step, seen, settled), wait_s, "feedback", "data")
