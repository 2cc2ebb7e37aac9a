"""The oracle as the loop sees it, and the labeller with its time on the clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actors.wait import answer
from effrl.protocols import Labeller
from effrl.run.metrics import Stopwatch
from effrl.types import (
    Judged,
    ReadGroup,
)


@dataclass
class OracleService:
    """Buys labels from the oracle actor."""

    actor: Any
    wait_s: float

    async def buy(self, step: int, prompt_ids: Sequence[str]) -> list[str | None]:
        return await answer(self.actor.buy.remote(step, prompt_ids), self.wait_s, "labels", "oracle")

    async def owned(self, prompt_ids: Sequence[str]) -> list[str | None]:
        return await answer(self.actor.owned.remote(prompt_ids), self.wait_s, "owned labels", "oracle")


@dataclass
class TimedLabeller:
    """The run's labeller, with its time on the clock."""

    labeller: Labeller
    clock: Stopwatch

    async def assign(self, step: int, groups: Sequence[ReadGroup]) -> Sequence[Judged]:
        with self.clock.stage("label"):
            return await self.labeller.assign(step, groups)
