"""Which GPU of a cluster does what: the workers of each pool, and what must be written so that a run has them."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TypeVar

from effrl.config.cluster import NodePool, WorkersConfig
from effrl.config.schema import Config
from effrl.errors import UserError

Sharer = TypeVar("Sharer", bound=Hashable)


@dataclass(frozen=True, slots=True)
class WorkerPool:
    """The workers of one kind; a bundle of resources for each."""

    workers: int
    gpus: int
    """Of each worker; an engine may be spread over several."""
    cpus: float
    """Reserved by each."""
    nodes: int
    """That carry them."""
    apart: bool = False
    """Whether ``cluster.KIND`` says itself which nodes these are."""
    joins: bool = False
    """Whether some of them may join later (``cluster.rollout.max``)."""

    def overrides(self, kind: str) -> str:
        """What to set so that a run has them."""
        nodes = f"cluster.{kind}.nodes={self.nodes} " if self.apart else ""
        most = f" cluster.{kind}.max={self.workers}" if self.joins else ""
        return f"{nodes}cluster.{kind}.per_node={self.workers // self.nodes} cluster.{kind}.gpus={self.gpus}{most}"


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
        if any(pool.workers % pool.nodes for pool in self.pools.values()):
            return None
        together = {pool.nodes for pool in self.pools.values() if not pool.apart}
        each = (pool.overrides(kind) for kind, pool in self.pools.items())
        return " ".join((*(f"cluster.nodes={nodes}" for nodes in together), *each))


def layout(config: Config, nodes: int, gpus: int) -> Layout:
    """Share out a cluster among the pools of a config, in the proportions of its own cluster section.

    Roles with nodes or labels of their own get whole nodes, as they do in a run. The GPUs of each node are shared out
    among the roles that it carries where there is one for each, else those of all their nodes together. Without GPUs
    each node has the workers that the section gives it. Rollout workers count as many as there may ever be.

    Raises:
        UserError: there are fewer nodes than pools, or fewer GPUs than roles, and they may not share one.
    """
    cluster, kinds, told = config.cluster, config.workers(), config.pools()
    if nodes < len(told):
        names = " and ".join(role for pool in told for role in pool.roles)
        raise UserError(
            f"{nodes} node(s) for {names}, which cluster.ROLE.nodes or labels keep apart: give --nodes {len(told)}, or"
            " leave those out"
        )
    carried = shared_out(nodes, {pool.roles: _nodes(config, pool) for pool in told})
    counts = {kind: n for own in told for kind, n in _on(config, own.roles, carried[own.roles], gpus).items()}
    where = {kind: carried[pool.roles] for pool in told for kind in pool.roles}
    pools = {
        kind: WorkerPool(
            counts[kind], _each(one, gpus), one.cpus, where[kind], one.apart, kind == "rollout" and _joins(config)
        )
        for kind, one in kinds.items()
    }
    return Layout(nodes, gpus, pools, cluster.colocate and gpus > 0)


def nodes_of(config: Config) -> int:
    """Nodes that all pools of a config have together."""
    return sum(_nodes(config, pool) for pool in config.pools())


def _nodes(config: Config, pool: NodePool) -> int:
    """Of one pool, with those on which rollout workers may join that have nodes of their own."""
    rollout = config.cluster.rollout
    alone = pool.roles == ("rollout",) and _joins(config)
    return ceil(config.cluster.most_rollout_workers / rollout.per_node) if alone else pool.nodes


def _joins(config: Config) -> bool:
    return config.cluster.rollout.max is not None


def _on(config: Config, kinds: Sequence[str], nodes: int, gpus: int) -> dict[str, int]:
    """Workers of the kinds that share so many nodes."""
    if gpus == 0:
        return {kind: config.workers()[kind].per_node * nodes for kind in kinds}
    if config.cluster.colocate:
        return dict.fromkeys(kinds, nodes)
    told, each = _counts(config), {kind: _each(config.workers()[kind], gpus) for kind in kinds}
    needed = sum(each.values())
    if nodes * gpus < needed or gpus < max(each.values()):
        raise UserError(
            f"{nodes} node(s) of {gpus} GPU(s) for {' and '.join(kinds)}: give --gpus-per-node {needed}, or let them"
            " take turns on one with cluster.colocate=true rollout.gpu_memory=0.5 and cluster.KIND.gpus=1 for each"
        )
    weights = {kind: told[kind] * each[kind] for kind in kinds}
    if gpus < needed:
        return {kind: share // each[kind] for kind, share in shared_out(nodes * gpus, weights, each).items()}
    return {kind: share // each[kind] * nodes for kind, share in shared_out(gpus, weights, each).items()}


def _each(workers: WorkersConfig, gpus: int) -> int:
    """GPUs of one worker, where nodes have some."""
    return max(1, workers.gpus) if gpus else 0


def _counts(config: Config) -> dict[str, int]:
    """Workers of each kind that the cluster section asks for, those that may join included."""
    cluster = config.cluster
    counts = {"rollout": cluster.most_rollout_workers, "learner": cluster.ranks, "prm": cluster.prm_ranks}
    return {kind: counts[kind] for kind in config.workers()}


def shared_out(
    total: int, weights: Mapping[Sharer, int], least: Mapping[Sharer, int] | None = None
) -> dict[Sharer, int]:
    """Whole shares in proportion to weights, each at least ``least`` (1 by default), by D'Hondt's rule: with more to
    share, none shrinks."""
    shares = dict(least or dict.fromkeys(weights, 1))
    for _ in range(total - sum(shares.values())):
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
