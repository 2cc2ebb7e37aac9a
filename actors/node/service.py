"""All nodes of a run: whether it can work there, how many cores they have, and what its processes use."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.machine import Usage
from actors.node.actor import NodeActor, NodeNeeds
from actors.node.shipping import ship
from actors.reservation import living_nodes
from actors.wait import LostError, answer, answers
from effrl.errors import RunError

USAGE_S = 2.0
"""Deadline for a reading of memory and CPU time."""
NOTICED_S = 90.0
"""How long Ray may take to notice that a node is lost: it waits for several signs of life that do not come."""


@dataclass
class Nodes:
    """One light actor per node."""

    actors: dict[str, Any] = field(default_factory=dict)
    """By the id of the node."""
    cores: dict[str, int] = field(default_factory=dict)
    """That workers may use."""

    async def check(self, nodes: Mapping[str, NodeNeeds], seconds: float) -> set[str]:
        """See that every node has what its workers need, and count its cores; a model that it lacks is sent there.

        Returns:
            Ids of the nodes that were sent one.

        Raises:
            UserError: one line about the first node that lacks something.
        """
        for node in nodes.keys() - self.actors.keys():
            self._begin(node)
        refs = {f"node {node}": self.actors[node].check.remote(needs) for node, needs in nodes.items()}
        self.cores |= dict(zip(nodes, await answers(refs, seconds, "a look at what it has"), strict=True))
        return await self._send_models(nodes, seconds)

    async def _send_models(self, nodes: Mapping[str, NodeNeeds], seconds: float) -> set[str]:
        refs = {f"node {node}": self.actors[node].lacks.remote(needs.models) for node, needs in nodes.items()}
        lacking = dict(zip(nodes, await answers(refs, seconds, "a look for its models"), strict=True))
        for model in sorted({model for models in lacking.values() for model in models}):
            there = [node for node, models in lacking.items() if model in models]
            await ship(model, {f"node {node}": self.actors[node] for node in there}, seconds)
        return {node for node, models in lacking.items() if models}

    async def usage(self, processes: Mapping[str, Mapping[str, int]]) -> dict[str, Usage | None]:
        """What processes use, by name, children included; None where a node does not answer soon.

        Args:
            processes: process ids by name, by node.
        """
        readings = await asyncio.gather(*(self._usage_of(node, pids) for node, pids in processes.items()))
        return {name: found for reading in readings for name, found in reading.items()}

    async def stopped(self, processes: Mapping[str, Mapping[str, int]]) -> set[str]:
        """Names of processes that are stopped; of a node that does not answer soon, nothing is known."""
        found = await asyncio.gather(*(self._stopped_of(node, pids) for node, pids in processes.items()))
        return {name for names in found for name in names}

    async def end(self, node: str, pid: int) -> None:
        """Kill a process. If its node is lost, Ray says so of all that was on it."""
        with suppress(RunError):
            await self._ask(node, "end", pid, what="ending a process")

    async def lost(self) -> set[str]:
        """Ids of the nodes that are lost.

        A connection that breaks tells at once that a worker is lost; that its whole node is, Ray knows only later. So a
        node that does not answer is asked again until it does, or until Ray has given it up.
        """
        deadline = time.monotonic() + NOTICED_S
        while True:
            lost = self.actors.keys() - living_nodes()
            answered = await asyncio.gather(*(self._answers(node) for node in self.actors.keys() - lost))
            if all(answered) or time.monotonic() > deadline:
                return lost
            await asyncio.sleep(1.0)

    async def _answers(self, node: str) -> bool:
        try:
            await self._ask(node, "stopped", {}, what="whether it is there")
        except RunError:
            return False
        return True

    async def _stopped_of(self, node: str, pids: Mapping[str, int]) -> Sequence[str]:
        try:
            found: list[str] = await self._ask(node, "stopped", pids, what="who is stopped")
        except RunError:  # as with usage
            return ()
        return found

    async def _usage_of(self, node: str, pids: Mapping[str, int]) -> Mapping[str, Usage | None]:
        try:
            found: Mapping[str, Usage | None] = await self._ask(node, "usage", pids, what="what it uses")
            return found
        except RunError:  # a metric must not end a run; if the node is lost, its workers will say so
            return dict.fromkeys(pids)

    async def _ask(self, node: str, method: str, *arguments: Any, what: str) -> Any:
        """What a node's actor answers soon; one that died is there again for the next question."""
        try:
            return await answer(getattr(self.actors[node], method).remote(*arguments), USAGE_S, what, f"node {node}")
        except LostError:
            self._begin(node)
            raise

    def _begin(self, node: str) -> None:
        here = NodeAffinitySchedulingStrategy(node, soft=False)
        self.actors[node] = ray.remote(NodeActor).options(num_cpus=0, scheduling_strategy=here).remote()
