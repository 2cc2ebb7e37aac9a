"""Puts questions to every node of a cluster, whatever is installed there, before any run."""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray._private.state import available_resources_per_node
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import actors.machine
from actors.placement import Member, free_nodes, nodes_of
from actors.reservation import draining_nodes
from actors.wait import answer
from effrl.errors import RunError

LOOK_S = 90.0
"""Deadline for what a node says of itself: a process is started for it, on a machine that may be busy."""
CLOCK_S = 10.0
CLOCKS = 3
"""Readings of a clock, of which the one that was answered soonest counts."""
REACH_S = 60.0
"""For connections to all others, each of which may be given up after a while."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a node says; or why it says nothing."""

    member: Member
    facts: Mapping[str, Any] | None
    offset_s: float = 0.0
    """How far its clock is ahead of ours."""
    doubt_s: float = 0.0
    """By how much that may be wrong: half of the way there and back."""
    unreached: Sequence[str] = ()
    """Addresses of other nodes that cannot be reached from it."""
    silence: str = ""


def members() -> list[Member]:
    """The nodes that live, in the order of their addresses."""
    draining, free = draining_nodes(), available_resources_per_node()
    living = [node for node in ray.nodes() if node["Alive"]]
    hosts = Counter(node["NodeManagerAddress"] for node in living)
    found = [_member(node, free.get(node["NodeID"], {}), node["NodeID"] in draining, hosts) for node in living]
    return sorted(found, key=lambda member: member.name)


def _member(node: Mapping[str, Any], free: Mapping[str, float], draining: bool, hosts: Mapping[str, int]) -> Member:
    [has], [left] = nodes_of([node]), free_nodes([node], {node["NodeID"]: free})
    name = has.name if hosts[has.name] == 1 else f"{has.name}/{node['NodeID'][:6]}"
    has, left = replace(has, name=name), replace(left, name=name)
    store = int(node["Resources"].get("object_store_memory", 0))
    return Member(node["NodeID"], node["NodeManagerAddress"], name, has, left, store, draining)


async def survey(nodes: Sequence[Member], probe: type, wanted: Callable[[Member], Mapping[str, Any]]) -> list[Answered]:
    """Have every node look at itself, tell its clock, and reach for the others; one that is silent holds up no other.

    Args:
        probe: a class with ``look``, ``clock`` and ``reach``. Its module goes to the nodes by value.
        wanted: what ``look`` is asked on a node.
    """
    handles = _sent(probe, nodes)
    try:
        found = await asyncio.gather(*(_looked(node, handles[node.id], wanted(node)) for node in nodes))
        ports = {one.member.id: (one.member.address, one.facts["port"]) for one in found if one.facts}
        return list(await asyncio.gather(*(_reached(one, handles[one.member.id], ports) for one in found)))
    finally:
        for handle in handles.values():
            ray.kill(handle)


def _sent(probe: type, nodes: Sequence[Member]) -> dict[str, Any]:
    """A probe on each node, by its id. By reference, a node would take the code that it has itself, or fail without."""
    modules = (sys.modules[probe.__module__], actors.machine)
    for module in modules:
        ray.cloudpickle.register_pickle_by_value(module)
    try:
        actor = ray.remote(probe).options
        there = {node.id: NodeAffinitySchedulingStrategy(node.id, soft=False) for node in nodes}
        return {node: actor(num_cpus=0, scheduling_strategy=where).remote() for node, where in there.items()}
    finally:
        for module in modules:
            ray.cloudpickle.unregister_pickle_by_value(module)


async def _looked(node: Member, handle: Any, wanted: Mapping[str, Any]) -> Answered:
    role = f"node {node.name}"
    try:
        facts = await answer(handle.look.remote(wanted), LOOK_S, "what there is", role)
        doubt, offset = min([await _clock(handle, role) for _ in range(CLOCKS)])
    except RunError as error:
        return Answered(node, None, silence=str(error))
    return Answered(node, facts, offset, doubt)


async def _clock(handle: Any, role: str) -> tuple[float, float]:
    """Half of the way there and back, and how far the clock is ahead of ours, in seconds."""
    sent = time.time()
    there = await answer(handle.clock.remote(), CLOCK_S, "its clock", role)
    back = time.time()
    return (back - sent) / 2, there - (sent + back) / 2


async def _reached(one: Answered, handle: Any, ports: Mapping[str, tuple[str, int | None]]) -> Answered:
    """The same, with the others that it cannot reach."""
    if one.facts is None:
        return one
    others = [place for node, place in ports.items() if node != one.member.id and place[1] is not None]
    try:
        unreached = await answer(handle.reach.remote(others), REACH_S, "reaching the others", f"node {one.member.name}")
    except RunError as error:
        return replace(one, facts=None, silence=str(error))
    return replace(one, unreached=tuple(unreached))
