"""The oracle as the loop sees it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.oracle.grading import alone
from actors.wait import answer
from effrl.batch import Settled
from effrl.config.reward import AnyReward
from effrl.label.monitor import Watched, told, watched
from effrl.questions import Answer, Question, Reply, Standing
from effrl.reward.sandbox.pool import patience
from effrl.run.metrics import Stopwatch
from effrl.types import Fate, ReadGroup, Step


@dataclass
class OracleService:
    """An :class:`~effrl.protocols.Oracle` that asks the oracle actor."""

    actor: Any
    wait_s: float

    async def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[Standing]:
        return await answer(self.actor.owned.remote(step, prompt_ids), self.wait_s, "owned labels", "oracle")

    async def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]:
        return await answer(self.actor.buy.remote(step, questions), self.wait_s, "labels", "oracle")

    async def answered(self, after: int, wait_s: float = 0.0) -> tuple[int, list[Answer]]:
        asked = self.actor.answered.remote(after, wait_s)
        return await answer(asked, self.wait_s + wait_s, "late answers", "oracle")

    async def open(self) -> list[str]:
        return await answer(self.actor.open.remote(), self.wait_s, "open queries", "oracle")

    async def withdraw(self, queries: Sequence[str]) -> None:
        await answer(self.actor.withdraw.remote(queries), self.wait_s, "taking queries back", "oracle")


@dataclass
class MonitorService:
    """A :class:`~effrl.protocols.Monitor` that asks the oracle actor."""

    actor: Any
    config: AnyReward
    clock: Stopwatch
    wait_s: float
    on: bool
    """Whether decisions are measured; gaps are told in any case."""

    async def gaps(self, groups: Sequence[ReadGroup]) -> list[float]:
        seen = [watched(read) for read in groups]
        return await answer(self.actor.gaps.remote(seen), self._deadline(seen), "true gaps", "oracle")

    async def metrics(self, settled: Sequence[Settled]) -> Mapping[str, float]:
        if not self.on:
            return {}
        with self.clock.stage("monitor"):
            seen = [told(entry) for entry in settled if entry.fate is not Fate.PARKED]
            return await answer(self.actor.watch.remote(seen), self._deadline(seen), "the monitor", "oracle")

    async def right(self, groups: Sequence[ReadGroup]) -> list[bool | None]:
        """Whether the vote of each group of training prompts is right; None where there is no label."""
        with self.clock.stage("monitor"):
            seen = [watched(read) for read in groups]
            return await answer(self.actor.right.remote(seen), self._deadline(seen), "the monitor", "oracle")

    async def right_votes(self, name: str, groups: Sequence[ReadGroup]) -> tuple[int, int]:
        """Groups of an evaluation set whose vote is right, and groups with a label."""
        seen = [watched(read) for read in groups]
        asked = self.actor.right_votes.remote(name, seen)
        right, labelled = await answer(asked, self._deadline(seen), "right votes", "oracle")
        return right, labelled

    def _deadline(self, groups: Sequence[Watched]) -> float:
        """Long enough even if every completion hangs: a monitor must not end a run that its reward does not."""
        tasks = sum(len(group.completions) for group in groups)
        return max(self.wait_s, patience(alone(self.config), tasks))
