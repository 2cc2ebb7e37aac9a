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
    fitting = [node for node in nodes if node.cpus >= cpus and node.gpus >= gpus]
    if len(fitting) >= config.cluster.nodes:
        return
    offered = "; ".join(f"{node.name}: {node.cpus:g} CPUs, {node.gpus:g} GPUs" for node in nodes)
    kinds = " and ".join(f"cluster.{kind}" for kind in config.workers(learning))
    raise UserError(
        f"the workers of one node need {cpus:g} CPUs and {gpus:g} GPUs on {config.cluster.nodes} node(s), but"
        f" {len(fitting)} node(s) can hold them ({offered}): lower cluster.nodes, or per_node, gpus or cpus of {kinds}"
    )


def nodes_of(ray_nodes: Sequence[Mapping[str, Any]]) -> list[Node]:
    """The living nodes of ``ray.nodes()``."""
    return [
        Node(node["NodeManagerAddress"], node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0))
        for node in ray_nodes
        if node["Alive"]
    ]
