"""What a run needs on each node, and whether the nodes have it: checked before anything starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from effrl.config.schema import Config
from effrl.errors import UserError


@dataclass(frozen=True, slots=True)
class Node:
    """What one node offers."""

    name: str
    cpus: float
    gpus: float


def needs(config: Config, learning: bool = True) -> dict[str, float]:
    """Resources of one node's workers, as one Ray bundle; control actors ask for none."""
    cpus = sum(kind.per_node * kind.cpus for kind in config.workers(learning).values())
    gpus = float(config.gpus_per_node(learning))
    return {name: value for name, value in {"CPU": cpus, "GPU": gpus}.items() if value}


def check_fit(config: Config, nodes: Sequence[Node], learning: bool = True) -> None:
    """Compare what a run needs with what there is.

    Raises:
        UserError: one line that says what does not fit where, and what to change.
    """
    wanted = needs(config, learning)
    cpus, gpus = wanted.get("CPU", 0.0), wanted.get("GPU", 0.0)
    fitting = _fitting(wanted, nodes)
    if len(fitting) >= config.cluster.nodes:
        return
    kinds = " and ".join(f"cluster.{kind}" for kind in config.workers(learning))
    raise UserError(
        f"the workers of one node need {cpus:g} CPUs and {gpus:g} GPUs on {config.cluster.nodes} node(s), but"
        f" {len(fitting)} node(s) can hold them ({_told(nodes)}): lower cluster.nodes, or per_node, gpus or cpus of"
        f" {kinds}"
    )


def taken(config: Config, free: Sequence[Node], learning: bool = True) -> str | None:
    """Why a run that fits has to wait: what its nodes have is in use, maybe by another run; None where it can begin.

    Args:
        free: nodes with what they have left.
    """
    wanted = needs(config, learning)
    if len(_fitting(wanted, free)) >= config.cluster.nodes:
        return None
    return (
        f"the workers of one node need {wanted.get('CPU', 0.0):g} CPUs and {wanted.get('GPU', 0.0):g} GPUs on"
        f" {config.cluster.nodes} node(s), and that much is there but in use ({_told(free)} are free): wait until what"
        " uses it has ended, or lower what this run asks for"
    )


def _told(nodes: Sequence[Node]) -> str:
    return "; ".join(f"{node.name}: {node.cpus:g} CPUs, {node.gpus:g} GPUs" for node in nodes)


def _fitting(wanted: Mapping[str, float], nodes: Sequence[Node]) -> list[Node]:
    return [node for node in nodes if node.cpus >= wanted.get("CPU", 0.0) and node.gpus >= wanted.get("GPU", 0.0)]


def nodes_of(ray_nodes: Sequence[Mapping[str, Any]]) -> list[Node]:
    """The living nodes of ``ray.nodes()``, with all that they have."""
    return free_nodes(ray_nodes, {node["NodeID"]: node["Resources"] for node in ray_nodes})


def free_nodes(ray_nodes: Sequence[Mapping[str, Any]], left: Mapping[str, Mapping[str, float]]) -> list[Node]:
    """The living nodes of ``ray.nodes()``, with what each has left, by its id."""
    living = [(node["NodeManagerAddress"], left.get(node["NodeID"], {})) for node in ray_nodes if node["Alive"]]
    return [Node(name, found.get("CPU", 0.0), found.get("GPU", 0.0)) for name, found in living]
