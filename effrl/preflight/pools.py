"""Which GPU of a cluster does what: the workers of each pool, and what must be written so that a run has them."""

from collections.abc import Mapping
from dataclasses import dataclass

from effrl.config.schema import Config
from effrl.errors import UserError


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """The workers of one kind; a bundle of resources for each."""

    workers: int
    gpus: int
    """Of each worker, 0 or 1."""
    cpus: float
    """Reserved by each."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The pools of a run by kind, on so many nodes of so many GPUs each."""

    nodes: int
    gpus: int
    pools: Mapping[str, WorkerPool]
    colocated: bool = False
    """Whether a worker of each kind shares a GPU, and they take turns."""

    def workers(self, kind: str) -> int:
        """Of one kind; 0 where the run has none."""
        return self.pools[kind].workers if kind in self.pools else 0

    @property
    def overrides(self) -> str | None:
        """What to set so that a run has these pools; None where they are not as many on each node."""
        if any(pool.workers % self.nodes for pool in self.pools.values()):
            return None
        each = (
            f"cluster.{kind}.per_node={pool.workers // self.nodes} cluster.{kind}.gpus={pool.gpus}"
            for kind, pool in self.pools.items()
        )
        return " ".join((f"cluster.nodes={self.nodes}", *each))


def layout(config: Config, nodes: int, gpus: int) -> Layout:
    """Share out a cluster among the pools of a config, in the proportions of its own cluster section.

    The GPUs of each node are shared out where there is one for each pool, else those of all nodes together. Without
    GPUs each node has the workers that the section gives it.

    Raises:
        UserError: there are fewer GPUs than pools, and they may not share one.
    """
    cluster, kinds, told = config.cluster, config.workers(), _counts(config)
    if gpus == 0:
        counts = {kind: workers.per_node * nodes for kind, workers in kinds.items()}
    elif cluster.colocate:
        counts = dict.fromkeys(kinds, nodes)
    elif nodes * gpus < len(kinds):
        raise UserError(
            f"{nodes * gpus} GPU(s) for {' and '.join(kinds)}: give --gpus-per-node {len(kinds)}, or let them take"
            " turns on one with cluster.colocate=true rollout.gpu_memory=0.5 and cluster.KIND.gpus=1 for each"
        )
    elif gpus < len(kinds):
        counts = shared_out(nodes * gpus, told)
    else:
        each = shared_out(gpus, told)
        counts = {kind: share * nodes for kind, share in each.items()}
    pools = {kind: WorkerPool(counts[kind], min(1, gpus), workers.cpus) for kind, workers in kinds.items()}
    return Layout(nodes, gpus, pools, cluster.colocate and gpus > 0)


def _counts(config: Config) -> dict[str, int]:
    """Workers of each kind that the cluster section asks for."""
    cluster = config.cluster
    counts = {"rollout": cluster.rollout_workers, "learner": cluster.ranks, "prm": cluster.prm_ranks}
    return {kind: counts[kind] for kind in config.workers()}


def shared_out(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Whole shares in proportion to weights, each at least 1, by D'Hondt's rule: with more to share, none shrinks."""
    shares = dict.fromkeys(weights, 1)
    for _ in range(total - len(weights)):
        neediest = max(weights, key=lambda kind: weights[kind] / (shares[kind] + 1))
        shares[neediest] += 1
    return shares


def misfits(config: Config, found: Layout) -> list[str]:
    """Where the config's own cluster section differs from these pools, a line each."""
    kinds, wanted = config.workers(), _counts(config)
    same = all(
        (wanted[kind], workers.gpus) == (found.workers(kind), found.pools[kind].gpus) for kind, workers in kinds.items()
    )
    lines = []
    if not same:
        asked = ", ".join(f"{wanted[kind]} {kind}" + (" on GPUs" if kinds[kind].gpus else " on CPUs") for kind in kinds)
        remedy = found.overrides
        lines.append(
            f"the cluster section does not fit this cluster (it has {asked}): "
            + (f"set {remedy}" if remedy else "give each kind of worker nodes of its own")
        )
    if found.colocated and found.gpus > 1:
        lines.append(f"cluster.colocate uses one of the {found.gpus} GPUs of each node")
    return lines
