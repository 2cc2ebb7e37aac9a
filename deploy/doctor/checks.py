"""Every check, and what they find of a machine or a cluster."""

from collections.abc import Callable, Iterator

from deploy.doctor import agreement, machine, network, room, software, storage
from deploy.doctor.facts import ClusterSeen, NodeFacts
from deploy.doctor.finding import Finding, merged

NODE_CHECKS: tuple[Callable[[NodeFacts], Iterator[Finding]], ...] = (
    software.check_python,
    software.check_one_root,
    software.check_engines,
    software.check_companions,
    machine.check_memory,
    machine.check_shm,
    machine.check_disks,
    machine.check_limits,
    machine.check_load,
    network.check_port,
    network.check_interface,
    network.check_token_file,
    machine.check_programs,
    machine.check_gpus,
    machine.check_gpu_users,
    machine.check_gpu_errors,
    machine.check_tcmalloc,
)
"""Of one node, whatever it is to carry."""

RUN_CHECKS: tuple[Callable[[ClusterSeen], Iterator[Finding]], ...] = (
    storage.check_visits,
    room.check_room,
    room.check_host_memory,
    room.check_gpu_memory,
    room.check_models,
    room.check_modules,
)
"""Of what a config needs."""

CLUSTER_CHECKS: tuple[Callable[[ClusterSeen], Iterator[Finding]], ...] = (
    agreement.check_answers,
    agreement.check_config_named,
    agreement.check_source,
    agreement.check_versions,
    agreement.check_pythons,
    agreement.check_clocks,
    agreement.check_users,
    agreement.check_gpu_kinds,
    agreement.check_counts,
    agreement.check_hosts,
    agreement.check_drained,
    network.check_address,
    network.check_reach,
    network.check_token,
    room.check_store,
)
"""Of a Ray that was there before."""


def of_machine(seen: ClusterSeen) -> list[Finding]:
    """What is found of this machine, for a run whose Ray it starts itself."""
    found = [finding for check in NODE_CHECKS for finding in check(seen.here)]
    return [*found, *(finding for check in RUN_CHECKS for finding in check(seen))]


def of_cluster(seen: ClusterSeen) -> list[Finding]:
    """What is found of a cluster: of each node, of all together, and for a run."""
    nodes = {node.member.name: [found for check in NODE_CHECKS for found in check(node.facts)] for node in seen.nodes}
    return [*merged(nodes), *(finding for check in (*CLUSTER_CHECKS, *RUN_CHECKS) for finding in check(seen))]
