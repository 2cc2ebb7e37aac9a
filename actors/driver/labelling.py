"""The run's labeller, with its time on the clock, and what becomes of a run whose label budget is spent."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effrl.batch import Batch, Settled
from effrl.protocols import Labeller
from effrl.questions import Account
from effrl.run.metrics import Stopwatch
from effrl.saved import Saved
from effrl.types import Fate, Judged, ReadGroup, Step, View, Want


@dataclass
class TimedLabeller:
    """A :class:`~effrl.protocols.Labeller` that does what another one does, with a folder of a checkpoint for itself.

    So one of a user's own may call itself and its files what it likes.
    """

    labeller: Labeller
    clock: Stopwatch
    judged: int = 0
    """The last step that it has decided about, or begun to."""
    name = "labeller"

    @property
    def wants(self) -> frozenset[Want]:
        return self.labeller.wants

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> Sequence[Judged]:
        self.judged = step.number
        with self.clock.stage("label"):
            return await self.labeller.assign(step, groups, views)

    async def learn(self, step: Step, settled: Sequence[Settled]) -> Mapping[str, float]:
        return await self.labeller.learn(step, settled)

    async def save(self, into: Path) -> Saved:
        folder = into / self.name
        await asyncio.to_thread(folder.mkdir)
        saved = await self.labeller.save(folder)
        return Saved({f"{self.name}/{name}": file for name, file in saved.files.items()}, saved.state)

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        await self.labeller.load(path / self.name, state)


@dataclass
class BudgetWatch:
    """Says once that the budget is spent, and finds out when nothing is left to learn from.

    A spent budget alone ends no run: what is owned goes on to supervise the groups of its prompts.
    """

    say: Callable[[str], None]
    exhausted: bool = False
    """Whether the last step taught nothing, since no group of it had a label, and no later one can have any: none is
    owned, none is asked for, and the budget buys none."""
    _told: bool = False

    def step(self, step: Step, batch: Batch, learned: bool, account: Account) -> None:
        """Take note of a step that is over."""
        if account.spent and step.place < step.of and not self._told:
            self._told = True
            self.say(
                f"the label budget is spent: {account.bought_total} labels are owned, and no other can be bought;"
                " raise label.budget.total for more"
            )
        all_dropped = batch.fates()[Fate.DROPPED] == len(batch.settled)
        self.exhausted = account.exhausted and all_dropped and not learned


def account_metrics(account: Account) -> dict[str, float | None]:
    return {
        "label/bought": account.bought,
        "label/bought_total": account.bought_total,
        "label/open": account.open,
        "label/reused": account.reused,
        "label/budget_left": account.budget_left,
    }
