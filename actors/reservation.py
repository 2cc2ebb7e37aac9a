"""The room of a run on a cluster: a Ray placement group for each pool of nodes, reserved before anything starts."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import ray
from ray._private.state import available_resources_per_node
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.placement import bundle, check_fit, free_nodes, nodes_of, taken
from effrl.config.cluster import NodePool
from effrl.config.schema import Config
from effrl.errors import DeadlineError, UserError

FREE_S = 15.0
"""How long what a run before has used may still count as in use."""
LOOK_S = 0.1
ANSWER_S = 10.0
"""Deadline of Ray's own books."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a run has reserved. A bundle holds the workers of one node, and moves to another node if that is lost."""

    groups: Mapping[str, PlacementGroup]
    """By role; roles that share their nodes share a group."""

    @classmethod
    async def reserve(cls, config: Config, learning: bool) -> Self:
        """Room for the workers of a run, or of an evaluation.

        Raises:
            UserError: there are no such nodes, or something else uses them. Ray would wait for them without a word.
            DeadlineError: there is room, and Ray does not give it.
        """
        check_fit(config, nodes_of(ray.nodes()), learning)
        groups: dict[str, PlacementGroup] = {}
        try:
            for pool in config.pools(learning):
                held, group = tuple(groups), _asked(pool)
                groups.update(dict.fromkeys(pool.roles, group))
                await _reserved(group, pool, held, config.cluster.start_s)
        except BaseException:  # Ctrl-C too: the room would stay taken as long as this process lives
            cls(groups).give_back()
            raise
        return cls(groups)

    def nodes(self, role: str) -> list[str]:
        """Id of the node of each bundle of a role; empty for a bundle whose node is lost and has no successor yet."""
        found: dict[int, str] = placement_group_table(self.groups[role])["bundles_to_node_id"]
        return [found[place] for place in sorted(found)]

    def place(self, role: str, index: int) -> PlacementGroupSchedulingStrategy:
        """For an actor that belongs into one of the role's bundles."""
        return PlacementGroupSchedulingStrategy(self.groups[role], placement_group_bundle_index=index)

    async def settled(self, seconds: float) -> None:
        """Wait until each bundle is on a node that lives: Ray moves those of a lost one.

        Raises:
            DeadlineError: no node has room for it in so many seconds; another run may use that.
        """
        deadline = time.monotonic() + seconds
        while not living_nodes().issuperset(node for role in self.groups for node in self.nodes(role)):
            if time.monotonic() > deadline:
                raise DeadlineError("waited in vain for room for the workers of a lost node on another one")
            await asyncio.sleep(0.5)

    def give_back(self) -> None:
        """Let others have the room; what runs there ends."""
        for group in {group.id: group for group in self.groups.values()}.values():
            remove_placement_group(group)


def ask_for_one(pool: NodePool) -> PlacementGroup:
    """Ask for room on one node of a pool, which may come at any time or never."""
    return _asked(pool)


def node_of(group: PlacementGroup) -> str | None:
    """Id of the node where a group of one bundle has its room; None while there is none."""
    table = placement_group_table(group)
    node: str = table["bundles_to_node_id"][0] if table["state"] == "CREATED" else ""
    return node or None


def draining_nodes() -> set[str]:
    """Ids of the nodes that are about to go. Ray tells it to its own libraries alone, as Serve does."""
    return set(ray._private.worker.global_worker.gcs_client.get_draining_nodes(timeout=ANSWER_S))


def living_nodes() -> set[str]:
    """Ids of the nodes that Ray holds for alive."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def _asked(pool: NodePool) -> PlacementGroup:
    """No two bundles of a pool are on one node. Bundles of two pools may be, where both have room."""
    return placement_group(
        [bundle(pool)] * pool.nodes,
        strategy="STRICT_SPREAD",
        bundle_label_selector=[dict(pool.labels)] * pool.nodes,
    )


async def _reserved(group: PlacementGroup, pool: NodePool, held: tuple[str, ...], seconds: float) -> None:
    """Wait for a pool's room; what a run before is giving back takes a moment.

    Ray is asked for the group's state: its own ``ready`` runs a task there, and where that is slow to start the room
    would seem to be in use, by this run itself. Only Ray's interface for developers tells what each node has left.
    """
    began = time.monotonic()
    while placement_group_table(group)["state"] != "CREATED":
        waited = time.monotonic() - began
        if waited > FREE_S and (found := taken(pool, free_nodes(ray.nodes(), available_resources_per_node()), held)):
            raise UserError(found)
        if waited > seconds:
            raise DeadlineError(f"waited {seconds:.0f} s in vain for room for {' and '.join(pool.roles)} of Ray")
        await asyncio.sleep(LOOK_S)
