"""The folder of runs: one place for all nodes, which each can write, whose locks hold, and which is fast enough."""

from collections.abc import Iterator

from deploy.doctor.facts import ClusterSeen, NodeSeen, RunNeeds, VisitFacts
from deploy.doctor.finding import Finding, must, named, should
from deploy.doctor.probe import SAMPLE

MIB = 1 << 20
SLOWEST = 20.0
"""MiB a second: below that a checkpoint of the smallest models takes minutes."""
SHARED = "choose a run.dir on a disk that every node shares: each writes its part of a checkpoint and its logs there"


def check_visits(cluster: ClusterSeen) -> Iterator[Finding]:
    """Every node sees what the driver writes, and the driver what every node writes."""
    if cluster.needs is None:
        return
    visits = [(node, node.facts.visit) for node in cluster.nodes if node.facts.visit is not None]
    yield _seen(cluster.needs, [node.member.name for node, visit in visits if not visit.sees])
    there = [(node, visit) for node, visit in visits if visit.sees]
    yield _written(cluster.needs, there)
    wrote = [(node, visit) for node, visit in there if visit.wrote]
    if len(cluster.nodes) > 1:
        yield _locked([node.member.name for node, visit in wrote if not visit.locked])
    yield _fast(wrote)


def _seen(needs: RunNeeds, blind: list[str]) -> Finding:
    found = f"not seen by {named(blind)}" if blind else f"{needs.folder} is seen by all"
    return must("run directory", not blind, found, "seen by all", SHARED)


def _written(needs: RunNeeds, visits: list[tuple[NodeSeen, VisitFacts]]) -> Finding:
    """A folder of the same name on another disk takes files too, but they never arrive."""
    refused = [f"{node.member.name}: {visit.error}" for node, visit in visits if not visit.wrote]
    lost = [
        f"{node.member.name}: what it writes does not arrive"
        for node, visit in visits
        if visit.wrote and not node.arrived
    ]
    remedy = SHARED if lost else f"let the user of Ray write to {needs.folder} on every node"
    return must("files of nodes", not (refused or lost), "; ".join((*refused, *lost)) or "arrive", "arrive", remedy)


def _locked(free: list[str]) -> Finding:
    """Only a lock that holds everywhere keeps two drivers out of one run directory."""
    found = f"do not hold on {named(free)}" if free else "hold"
    remedy = (
        "use a file system whose locks hold between nodes (NFS 4, CephFS, Lustre with flock), or start runs on one node"
    )
    return should("locks", not free, found, "hold on all nodes", remedy)


def _fast(visits: list[tuple[NodeSeen, VisitFacts]]) -> Finding:
    speeds = {node.member.name: SAMPLE / MIB / max(visit.seconds or 0.0, 1e-3) for node, visit in visits}
    slow = [f"{name}: {speed:.1f} MiB/s" for name, speed in speeds.items() if speed < SLOWEST]
    found = "; ".join(slow) or (f"{min(speeds.values()):.0f} MiB/s or more" if speeds else "not measured")
    remedy = (
        "choose a faster disk for run.dir, or save less often (run.save_every): a checkpoint is written at this speed"
    )
    return should("speed of the run directory", not slow, found, f"{SLOWEST:.0f} MiB/s", remedy)
