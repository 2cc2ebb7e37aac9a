"""What a run needs on the nodes of each pool, and whether there are such nodes: checked before anything starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from effrl.config.cluster import NodePool
from effrl.config.schema import Config
from effrl.errors import UserError


@dataclass(frozen=True, slots=True)
class Node:
    """What one node offers."""

    name: str
    cpus: float
    gpus: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Member:
    """A node that lives, by Ray's books."""

    id: str
    address: str
    name: str
    """For people: the address, with a part of the id where a host has several nodes."""
    has: Node
    left: Node
    """The same with what is free."""
    store: int = 0
    """Bytes of its object store."""
    draining: bool = False
    """Whether it is about to go."""


def bundle(pool: NodePool) -> dict[str, float]:
    """Resources of one node's workers, as one Ray bundle; control actors ask for none."""
    return {name: value for name, value in {"CPU": pool.cpus, "GPU": float(pool.gpus)}.items() if value}


def check_fit(config: Config, nodes: Sequence[Node], learning: bool = True) -> None:
    """Compare what each pool of a run needs with what there is.

    Raises:
        UserError: one line that says which workers do not fit where, and what to change.
    """
    for pool in config.pools(learning):
        if (found := misfit(pool, nodes)) is not None:
            raise UserError(": ".join(found))


def misfit(pool: NodePool, nodes: Sequence[Node]) -> tuple[str, str] | None:
    """What of a pool does not fit, and what to change; None where it fits."""
    fields = " and ".join(f"cluster.{role}" for role in pool.roles)
    if not bundle(pool):
        return f"the workers of {fields} reserve nothing, and Ray places nothing", "set cpus to 0.1 or more"
    if (count := len(fitting(pool, nodes))) >= pool.nodes:
        return None
    labels = ", or labels" if pool.labels else ""
    return (
        f"{_needs(pool)}, but {count} node(s) can hold them ({_told(nodes, pool)})",
        f"lower cluster.nodes, or nodes, per_node, gpus or cpus{labels} of {fields}",
    )


def taken(pool: NodePool, free: Sequence[Node], held: Sequence[str] = ()) -> str | None:
    """Why workers that fit have to wait: what their nodes have is in use, maybe by another run; None where it is free.

    Args:
        free: nodes with what they have left.
        held: roles of this run that have their room already.
    """
    if len(fitting(pool, free)) >= pool.nodes:
        return None
    own = f", {' and '.join(held)} of this run has its room already" if held else ""
    return (
        f"{_needs(pool)}, and that much is there but in use ({_told(free, pool)} are free{own}): wait until what uses"
        " it has ended, or lower what this run asks for"
    )


def _needs(pool: NodePool) -> str:
    return (
        f"the workers of one node ({' and '.join(pool.roles)}) need {pool.cpus:g} CPUs and {pool.gpus:g} GPUs on"
        f" {pool.where}"
    )


def _told(nodes: Sequence[Node], pool: NodePool) -> str:
    """The nodes with what they have, and what those labels are there that are asked for."""
    return "; ".join(f"{node.name}: {node.cpus:g} CPUs, {node.gpus:g} GPUs{_labels(node, pool)}" for node in nodes)


def in_turn(role: str, count: int, nodes: Sequence[str]) -> dict[str, str]:
    """The node of each of ``role``, ``role-1``, …: the first, and the others in the order in which they come."""
    different = list(dict.fromkeys(nodes))
    return {f"{role}-{n}" if n else role: different[n % len(different)] for n in range(count)}


def _labels(node: Node, pool: NodePool) -> str:
    return "".join(f", {key}={node.labels[key]}" if key in node.labels else f", no {key}" for key in pool.labels)


def fitting(pool: NodePool, nodes: Sequence[Node]) -> list[Node]:
    """Those that can hold the workers of one node of the pool."""
    return [
        node
        for node in nodes
        if node.cpus >= pool.cpus and node.gpus >= pool.gpus and pool.labels.items() <= node.labels.items()
    ]


def nodes_of(ray_nodes: Sequence[Mapping[str, Any]]) -> list[Node]:
    """The living nodes of ``ray.nodes()``, with all that they have."""
    return free_nodes(ray_nodes, {node["NodeID"]: node["Resources"] for node in ray_nodes})


def free_nodes(ray_nodes: Sequence[Mapping[str, Any]], left: Mapping[str, Mapping[str, float]]) -> list[Node]:
    """The living nodes of ``ray.nodes()``, with what each has left, by its id."""
    living = [(node, left.get(node["NodeID"], {})) for node in ray_nodes if node["Alive"]]
    return [
        Node(node["NodeManagerAddress"], found.get("CPU", 0.0), found.get("GPU", 0.0), node["Labels"])
        for node, found in living
    ]
