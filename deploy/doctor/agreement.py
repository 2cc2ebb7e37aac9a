"""What the nodes of a cluster must have in common."""

from collections.abc import Callable, Iterator
from operator import methodcaller

from deploy.doctor.facts import ClusterSeen, NodeFacts, NodeSeen
from deploy.doctor.finding import Finding, must, named, should
from deploy.doctor.network import hosts
from deploy.doctor.software import DISTRIBUTIONS

CLOCK_S = 2.0
"""Beyond that, logs of two nodes cannot be read side by side, and what a network's file system calls new is wrong."""


def check_answers(cluster: ClusterSeen) -> Iterator[Finding]:
    """A node that says nothing can carry no worker."""
    if not cluster.silent:
        yield Finding("nodes", "ok", f"{len(cluster.nodes)} answered", "all")
    for name, why in cluster.silent.items():
        remedy = "look at the node and its raylet's log, or take it out of the cluster (ray stop on it)"
        yield Finding("nodes", "failure", why, "an answer", remedy, (name,))


def check_config_named(cluster: ClusterSeen) -> Iterator[Finding]:
    """Without a config nobody knows which folder has to be shared, and what has to fit."""
    remedy = "name the config of a run, with its overrides: effrl doctor my.yaml --address HOST:6379"
    found = "none: storage and room were not looked at" if cluster.needs is None else "named"
    yield should("config", cluster.needs is not None, found, "named", remedy)


def check_clocks(cluster: ClusterSeen) -> Iterator[Finding]:
    """Clocks that go alike, as far as the way there and back lets that be known."""
    wrong = {node.member.name: node for node in cluster.nodes if abs(node.offset_s) - node.doubt_s > CLOCK_S}
    worst = max((abs(node.offset_s) for node in cluster.nodes), default=0.0)
    found = "; ".join(f"{name} is {_ahead(node)}" for name, node in wrong.items()) or f"within {worst:.2f} s"
    remedy = "set the clocks of these nodes by one server: timedatectl set-ntp true, or chrony"
    yield must("clocks", not wrong, found, f"within {CLOCK_S:g} s", remedy)


def check_source(cluster: ClusterSeen) -> Iterator[Finding]:
    """The same code as here: actors of two versions misunderstand each other, with the same version number too."""
    odd = [node.member.name for node in cluster.nodes if node.facts.source != cluster.here.source]
    found = f"other code on {named(odd)}" if odd else f"{cluster.here.source} on all"
    remedy = "install the same commit of effrl on these nodes, or start all of them from one folder"
    yield must("effrl everywhere", not odd, found, "the code of this command", remedy)


def check_versions(cluster: ClusterSeen) -> Iterator[Finding]:
    """Everything in one version: models, weights and actors are pickled from one node to another."""
    odd = []
    for name in DISTRIBUTIONS:
        other = _odd(cluster, methodcaller("version", name))
        odd += [f"{name} {version or 'missing'} on {named(nodes)}" for version, nodes in other.items()]
    remedy = "make the environment of these nodes the one of this command: make setup, or one image for all"
    yield must("versions everywhere", not odd, "; ".join(odd) or "the same", "those of this command", remedy)


def check_pythons(cluster: ClusterSeen) -> Iterator[Finding]:
    """One Python: what is pickled by one minor version, another may not read, and Ray refuses it."""
    odd = _odd(cluster, lambda facts: ".".join(map(str, facts.python)))
    found = "; ".join(f"{version} on {named(nodes)}" for version, nodes in odd.items()) or "the same"
    remedy = "make the environment of these nodes with the Python of this command"
    minor = any(node.facts.python[:2] != cluster.here.python[:2] for node in cluster.nodes)
    yield (must if minor else should)("python everywhere", not odd, found, "that of this command", remedy)


def check_users(cluster: ClusterSeen) -> Iterator[Finding]:
    """One user: what a node writes into the run directory, the others must be allowed to read and replace."""
    odd = _odd(cluster, lambda facts: str(facts.user))
    found = "; ".join(f"{user} on {named(nodes)}" for user, nodes in odd.items()) or str(cluster.here.user)
    remedy = "start Ray as the same user, by number, on every node"
    yield should("user", not odd, found, f"{cluster.here.user} on all", remedy)


def check_gpu_kinds(cluster: ClusterSeen) -> Iterator[Finding]:
    """One kind of GPU and one driver: a step waits for the slowest, and NCCL wants drivers of an age."""
    kinds = {gpu.name for node in cluster.nodes for gpu in node.facts.gpus}
    drivers = {gpu.driver for node in cluster.nodes for gpu in node.facts.gpus}
    if not kinds:
        return
    remedy = "give each role nodes of one kind by labels (cluster.ROLE.labels): the slowest GPU sets the pace"
    yield should("kinds of GPU", len(kinds) == 1, ", ".join(sorted(kinds)), "one", remedy)
    remedy = "install the same driver on all nodes"
    yield should("GPU drivers", len(drivers) == 1, ", ".join(sorted(drivers)), "one", remedy)


def check_counts(cluster: ClusterSeen) -> Iterator[Finding]:
    """Ray counts cores and GPUs when it starts, or is told; what is not there, workers share or miss."""
    cores = [
        f"{node.member.name}: {node.member.has.cpus:g} told, {node.facts.cores} usable"
        for node in cluster.nodes
        if node.member.has.cpus > node.facts.cores
    ]
    remedy = "start Ray with --num-cpus of the cores that it may use: a container's quota is not seen by all"
    yield should("cores that Ray counts", not cores, "; ".join(cores) or "are there", "no more than are usable", remedy)
    gpus = [
        f"{node.member.name}: {node.member.has.gpus:g} told, {len(node.facts.gpus)} there"
        for node in cluster.nodes
        if node.member.has.gpus > len(node.facts.gpus)
    ]
    remedy = "start Ray with --num-gpus of those that nvidia-smi lists, or mend the driver"
    yield must("GPUs that Ray counts", not gpus, "; ".join(gpus) or "are there", "no more than are there", remedy)


def check_drained(cluster: ClusterSeen) -> Iterator[Finding]:
    """Ray puts nothing new on a node that is about to go."""
    going = [node.member.name for node in cluster.nodes if node.member.draining]
    remedy = "wait for the node that comes in its place, or do not count on this one"
    yield should("drained nodes", not going, named(going) or "none", "none", remedy)


def check_hosts(cluster: ClusterSeen) -> Iterator[Finding]:
    """Two raylets in one container count the same cores and memory twice."""
    shared = [named(names) for names in hosts(cluster).values() if len(names) > 1]
    remedy = "start one raylet on each machine: ray start on a machine that has one already counts all of it again"
    yield should("raylets of a machine", not shared, "; ".join(shared) or "one", "one", remedy)


def _odd(cluster: ClusterSeen, of: Callable[[NodeFacts], str | None]) -> dict[str | None, list[str]]:
    """Values that are not the one of this command, with the nodes that have them."""
    odd: dict[str | None, list[str]] = {}
    for node in cluster.nodes:
        if (value := of(node.facts)) != of(cluster.here):
            odd.setdefault(value, []).append(node.member.name)
    return odd


def _ahead(node: NodeSeen) -> str:
    return f"{abs(node.offset_s):.1f} s {'ahead' if node.offset_s > 0 else 'behind'}"
