"""The oracle as the loop sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.wait import answer
from effrl.batch import Settled
from effrl.questions import Answer, Question, Reply
from effrl.types import ReadGroup, Step


@dataclass
class OracleService:
    """An :class:`~effrl.protocols.Oracle` that asks the oracle actor."""

    actor: Any
    wait_s: float

    async def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[str | None]:
        return await answer(self.actor.owned.remote(step, prompt_ids), self.wait_s, "owned labels", "oracle")

    async def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]:
        return await answer(self.actor.buy.remote(step, questions), self.wait_s, "labels", "oracle")

    async def answered(self, after: int) -> tuple[int, list[Answer]]:
        return await answer(self.actor.answered.remote(after), self.wait_s, "late answers", "oracle")

    async def withdraw(self, queries: Sequence[str]) -> None:
        await answer(self.actor.withdraw.remote(queries), self.wait_s, "taking queries back", "oracle")


@dataclass
class MonitorService:
    """A :class:`~effrl.protocols.Monitor` that asks the oracle actor."""

    actor: Any
    wait_s: float

    async def gaps(self, groups: Sequence[ReadGroup]) -> list[float]:
        raise NotImplementedError

    async def metrics(self, settled: Sequence[Settled]) -> Mapping[str, float]:
        return {}
