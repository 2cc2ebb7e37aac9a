"""Rollout workers that join a run and leave it while it goes on, as nodes come and go."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ray.util.placement_group import PlacementGroup, remove_placement_group

from actors.cluster import Cluster
from actors.driver.sampler import Sampler
from actors.reservation import ask_for_one, draining_nodes, node_of
from effrl.errors import RunError, UserError

PAUSE_S = 2.0
"""Between two looks at the cluster."""
AGAIN_S = 60.0
"""Until a node is asked again on which a worker could not join."""


@dataclass
class Recruits:
    """Asks Ray for room for one worker after the other until there are ``most``, and takes in whoever finds some.

    The request is open while there is no room: so an autoscaler knows that a node is wanted. Workers on a node that is
    drained give their work to the others at once.
    """

    cluster: Cluster
    sampler: Sampler
    most: int
    tell: Callable[[str], None]
    _asked: PlacementGroup | None = field(default=None, init=False)

    async def watch(self) -> None:
        """Look until cancelled; then nothing is asked for any more."""
        try:
            while True:
                await asyncio.sleep(PAUSE_S)
                await self.let_go(await asyncio.to_thread(draining_nodes))
                if self.sampler.expected < self.most and not await self.take_in():
                    await asyncio.sleep(AGAIN_S)
        finally:
            if self._asked is not None:
                remove_placement_group(self._asked)

    async def let_go(self, draining: set[str]) -> None:
        """Have the workers of these nodes leave; those of the config come back where Ray finds room for them."""
        for name in [name for name in self.sampler.workers if self.cluster.places[name] in draining]:
            joined = name in self.cluster.extra
            self.tell(f"{name} leaves: its node is drained; its work goes to the others")
            worker = await self.sampler.leave(name, comes_back=not joined)
            if joined and worker is not None:
                self.cluster.dismiss(name, worker)

    async def take_in(self) -> bool:
        """Have one more worker join if there is room for it; False where that failed."""
        self._asked = self._asked or ask_for_one(self.cluster.config.cluster.one_more)
        if (node := node_of(self._asked)) is None:
            return True
        name, group, self._asked = self.cluster.next_name, self._asked, None
        worker: Any = None
        try:
            worker = await self.cluster.recruit(name, group, node)
            await self.sampler.join(name, worker)
        except (RunError, UserError) as error:
            self.cluster.dismiss(name, worker)
            self.tell(f"{name} cannot join on node {node[:8]}: {str(error).partition('. ')[0]}")
            return False
        return True
