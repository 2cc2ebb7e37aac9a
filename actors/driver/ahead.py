"""Rollouts that run ahead of the learner: begun as far as staleness allows, taken in the order in which they end."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from effrl.batch import oldest
from effrl.types import Group

WASTE = 0.125
"""Share of the groups that may come too late before rollouts run ahead less."""


@dataclass(frozen=True, slots=True)
class Start:
    """A group that is about to be sampled."""

    nothing: Group
    """What stands for it where it is given up: the same group, of which no rollout was finished."""
    version: int
    """That is served when it starts; what it has to wait for may only make it newer."""
    sampling: Coroutine[Any, Any, Group]


@dataclass
class Reach:
    """How far rollouts run ahead, as a share of what the staleness allows.

    What comes too late was sampled in vain. The share shrinks by the part that did, and grows by :data:`WASTE`, in each
    step: so it stays whole while less than that is wasted, and comes to rest at WASTE / waste where more is.
    """

    share: float = 1.0

    def groups(self, allowed: int) -> int:
        return math.ceil(self.share * allowed)

    def learned(self, taken: int, late: int) -> None:
        """A step is done, which took so many groups, and for which so many came too late."""
        self.share = min(1.0, self.share * (1 - late / max(1, taken + late)) + WASTE)


@dataclass
class RunningAhead:
    """Groups that are under way, and those that are finished and wait for the step that learns from them."""

    begin: Callable[[int], Awaitable[Sequence[Start]]]
    """Choose so many prompts; their groups are sampled from now on."""
    reach: Reach = field(default_factory=Reach)
    _under_way: dict[asyncio.Task[Group], Start] = field(default_factory=dict)
    _finished: list[Group] = field(default_factory=list)
    _choosing: set[asyncio.Task[None]] = field(default_factory=set)
    """Who chooses prompts now, one at most."""

    async def take(self, count: int, further: int) -> list[Group]:
        """The first ``count`` groups that are finished, of these the oldest first.

        Args:
            further: groups that may be under way for later steps.
        """
        self._choose(count + further)
        while len(self._finished) < count:
            ended, _ = await asyncio.wait({*self._under_way, *self._choosing}, return_when=asyncio.FIRST_COMPLETED)
            self._collect(ended)
            self._choose(count + further)
        self._finished.sort(key=oldest)
        taken, self._finished = self._finished[:count], self._finished[count:]
        return taken

    def too_old(self, version: int) -> list[Group]:
        """Give up what began before a version, finished or not: no step may learn from it any more."""
        self._collect([task for task in self._under_way if task.done()])
        late = [task for task, start in self._under_way.items() if start.version < version]
        given_up = [self._under_way.pop(task).nothing for task in late]
        for task in late:
            task.cancel()
        given_up += [group for group in self._finished if oldest(group) < version]
        self._finished = [group for group in self._finished if oldest(group) >= version]
        return given_up

    async def cancel(self) -> list[Group]:
        """Give up everything; returns what was finished."""
        tasks = [*self._choosing, *self._under_way]
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        finished = [*self._finished, *(group for group in ended if isinstance(group, Group))]
        self._finished, self._under_way, self._choosing = [], {}, set()
        return finished

    def _choose(self, wanted: int) -> None:
        """Have prompts chosen beside all else, where fewer groups than wanted are there or under way."""
        missing = wanted - len(self._under_way) - len(self._finished)
        if missing > 0 and not self._choosing:
            self._choosing = {asyncio.create_task(self._start(missing))}

    async def _start(self, count: int) -> None:
        for start in await self.begin(count):
            self._under_way[asyncio.create_task(start.sampling)] = start

    def _collect(self, ended: Iterable["asyncio.Task[Any]"]) -> None:
        """Keep what is finished; what has failed is raised."""
        for task in ended:
            if task in self._choosing:
                self._choosing.remove(task)
                task.result()
            else:
                del self._under_way[task]
                self._finished.append(task.result())
