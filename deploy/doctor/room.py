"""Whether a cluster has what the workers of a config need: room, memory, the object store, models and code."""

from collections.abc import Iterator

from actors.placement import fitting, misfit
from deploy.doctor.facts import ClusterSeen, NodeSeen, RunNeeds
from deploy.doctor.finding import Finding, gib, must, named, should
from effrl.config.cluster import NodePool

VERSIONS = 2
"""Of the weights, that the object store of a node holds: the one that is served and the one that comes."""
CARRIERS = "on every node that may carry workers"


def check_room(cluster: ClusterSeen) -> Iterator[Finding]:
    """Enough nodes for every pool, and whether they are free."""
    if (needs := cluster.needs) is None:
        return
    for pool in needs.pools:
        name = f"room for {_roles(pool)}"
        if (missing := misfit(pool, [node.member.has for node in cluster.nodes])) is not None:
            yield must(name, False, missing[0], pool.where, missing[1])
            continue
        left = len(fitting(pool, [node.member.left for node in cluster.nodes]))
        remedy = "wait until what uses these nodes has ended, or ask for less"
        yield should(name, left >= pool.nodes, f"{left} node(s) are free", pool.where, remedy)


def check_host_memory(cluster: ClusterSeen) -> Iterator[Finding]:
    """Memory of the nodes for the workers that are not on GPUs; an estimate, as `effrl plan` has it."""
    for pool, nodes, needs in _pools(cluster):
        wanted = sum(needs.host_memory.get(role, 0.0) for role in pool.roles)
        poor = [
            f"{node.member.name}: {gib(node.facts.memory_free)}" for node in nodes if node.facts.memory_free < wanted
        ]
        ok = len(nodes) - len(poor) >= min(pool.nodes, len(nodes))
        found = "; ".join(poor) if not ok else f"enough on {len(nodes) - len(poor)} node(s)"
        remedy = "lower per_node of these roles, learn.micro_batch_tokens or rollout.kv_cache_gb, or take larger nodes"
        yield must(f"memory for {_roles(pool)}", ok, found, f"about {gib(wanted)} free on {pool.nodes}", remedy)


def check_gpu_memory(cluster: ClusterSeen) -> Iterator[Finding]:
    """Free memory of GPUs for a rank or an engine."""
    for pool, nodes, needs in _pools(cluster):
        if not pool.gpus:
            continue
        poor = [
            f"{node.member.name} has {count} GPU(s) with enough"
            for node in nodes
            if (count := _roomy(node, pool, needs)) < pool.gpus
        ]
        ok = len(nodes) - len(poor) >= min(pool.nodes, len(nodes))
        wanted = max(needs.gpu_memory.get(role, 0.0) for role in pool.roles)
        remedy = (
            "free the GPUs (see GPU users), lower rollout.gpu_memory or learn.micro_batch_tokens, or raise learn.zero"
        )
        found = "enough" if ok else "; ".join(poor)
        yield must(
            f"GPU memory for {_roles(pool)}", ok, found, f"about {gib(wanted)} free on {pool.gpus} GPU(s)", remedy
        )


def check_store(cluster: ClusterSeen) -> Iterator[Finding]:
    """Weights travel through the object stores of the nodes."""
    for pool, nodes, needs in _pools(cluster):
        wanted = VERSIONS * needs.weights
        small = [f"{node.member.name}: {gib(node.member.store)}" for node in nodes if node.member.store < wanted]
        remedy = f"ray start --object-store-memory={wanted}: two versions of the weights; it spills to disk otherwise"
        found = "; ".join(small) or "enough on all nodes"
        yield should(f"object store for {_roles(pool)}", not small, found, f"{gib(wanted)}", remedy)


def check_models(cluster: ClusterSeen) -> Iterator[Finding]:
    """The model is read from the disk of each node that may carry a worker."""
    remedy = (
        "it is sent there at the start of the run, if it can be kept there; a disk that every node shares saves that"
    )
    for model in cluster.needs.models if cluster.needs else ():
        without = [node for node in _carriers(cluster) if model not in node.facts.models]
        yield should(f"model {model}", not without, _missing(without), CARRIERS, remedy)


def check_modules(cluster: ClusterSeen) -> Iterator[Finding]:
    """Code of the user that workers import."""
    remedy = "install it there, or start the run in a folder that every node shares"
    for name in cluster.needs.modules if cluster.needs else ():
        without = [node for node in _carriers(cluster) if name not in node.facts.modules]
        yield must(f"module {name}", not without, _missing(without), CARRIERS, remedy)


def _missing(without: list[NodeSeen]) -> str:
    return f"not on {named([node.member.name for node in without])}" if without else "there"


def _carriers(cluster: ClusterSeen) -> list[NodeSeen]:
    """The nodes that may carry workers."""
    return list({node.member.name: node for _, nodes, _ in _pools(cluster) for node in nodes}.values())


def _pools(cluster: ClusterSeen) -> Iterator[tuple[NodePool, list[NodeSeen], RunNeeds]]:
    """The pools of the config, each with the nodes that could carry it; none for a pool that has no room at all."""
    if (needs := cluster.needs) is None:
        return
    for pool in needs.pools:
        names = {node.name for node in fitting(pool, [node.member.has for node in cluster.nodes])}
        if nodes := [node for node in cluster.nodes if node.member.name in names]:
            yield pool, nodes, needs


def _roomy(node: NodeSeen, pool: NodePool, needs: RunNeeds) -> int:
    """GPUs of a node with free memory for any worker of the pool."""
    wanted = max(needs.gpu_memory.get(role, 0.0) for role in pool.roles)
    share = needs.gpu_share if "rollout" in pool.roles else 0.0
    known = [(gpu.memory << 20, (gpu.used or 0) << 20) for gpu in node.facts.gpus if gpu.memory is not None]
    enough = [whole - used >= max(wanted, share * whole) for whole, used in known]
    return sum(enough) + len(node.facts.gpus) - len(known)


def _roles(pool: NodePool) -> str:
    return " and ".join(pool.roles)
