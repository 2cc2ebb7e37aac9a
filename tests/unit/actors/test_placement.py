"""What does not fit on the machines is found before anything starts: Ray would wait for a free GPU for ever."""

import pytest

from actors.placement import Node, check_fit, free_nodes, needs, nodes_of, taken
from effrl.config.schema import Config
from effrl.errors import UserError

LAPTOP = Node("10.0.0.1", cpus=2, gpus=0)


def cluster(rollout: int = 1, learner: int = 1, gpus: int = 0, nodes: int = 1, prm: int = 0) -> Config:
    """Workers per node of each kind, with ``gpus`` each and half a CPU; a run without a PRM starts no rank of one."""
    kinds = {"rollout": rollout, "learner": learner, "prm": prm or 3}
    workers = {kind: {"per_node": count, "gpus": gpus, "cpus": 0.5} for kind, count in kinds.items()}
    process = {"kind": "implicit_prm"} if prm else None
    return Config.model_validate(
        {"data": {"train": "tasks:chain"}, "cluster": {**workers, "nodes": nodes}, "process": process}
    )


def machine(gpus: float, name: str = "10.0.0.1") -> Node:
    return Node(name, cpus=64, gpus=gpus)


def test_needs_are_those_of_one_node() -> None:
    """Summed over nodes they would ask every node for everything."""
    assert needs(cluster(rollout=4, learner=2, gpus=1, nodes=3)) == {"CPU": 3.0, "GPU": 6.0}


def test_a_prm_has_its_place() -> None:
    assert needs(cluster(rollout=4, learner=2, prm=1, gpus=1)) == {"CPU": 3.5, "GPU": 7.0}
    with pytest.raises(UserError, match=r"of cluster.rollout and cluster.learner and cluster.prm$"):
        check_fit(cluster(gpus=1, prm=1), [machine(2)])


def test_an_evaluation_needs_no_room_for_a_learner() -> None:
    wanted = cluster(rollout=1, learner=1, gpus=1)
    assert needs(wanted, learning=False) == {"CPU": 0.5, "GPU": 1.0}
    check_fit(wanted, [machine(gpus=1)], learning=False)


def test_a_cpu_run_asks_for_no_gpu() -> None:
    """A bundle with ``GPU: 0`` is refused by Ray."""
    assert needs(cluster()) == {"CPU": 1.0}


@pytest.mark.parametrize(
    ("wanted", "nodes"),
    [
        (cluster(), [LAPTOP]),
        (cluster(rollout=2, learner=2), [LAPTOP]),  # exactly all of it
        (cluster(rollout=4, learner=4, gpus=1), [machine(8)]),
        (cluster(gpus=1, nodes=2), [machine(2, "a"), LAPTOP, machine(2, "b")]),  # the head carries no worker
    ],
)
def test_what_fits(wanted: Config, nodes: list[Node]) -> None:
    check_fit(wanted, nodes)


@pytest.mark.parametrize(
    ("wanted", "nodes", "words"),
    [
        (cluster(gpus=1), [LAPTOP], ["2 GPUs", "10.0.0.1: 2 CPUs, 0 GPUs"]),
        (cluster(rollout=4, learner=4, gpus=1), [machine(4)], ["8 GPUs", "4 GPUs"]),
        (cluster(rollout=4, learner=1), [LAPTOP], ["2.5 CPUs", "2 CPUs"]),
        # 8 GPUs in all, but no node has the 4 that workers of one node need.
        (cluster(rollout=2, learner=2, gpus=1), [machine(2, name) for name in "abcd"], ["4 GPUs", "0 node(s)"]),
        (cluster(gpus=1, nodes=2), [machine(2, "a"), machine(1, "b")], ["2 node(s)", "1 node(s)", "b: 64 CPUs, 1"]),
        (cluster(nodes=2), [LAPTOP], ["on 2 node(s)", "1 node(s)"]),
        (cluster(), [], ["1 CPUs", "0 node(s)"]),
    ],
)
def test_what_does_not_fit_is_one_line_with_the_numbers(wanted: Config, nodes: list[Node], words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        check_fit(wanted, nodes)
    message = str(error.value)
    assert "\n" not in message and "lower cluster.nodes" in message
    assert all(word in message for word in words), message


def test_dead_nodes_offer_nothing() -> None:
    """Ray keeps nodes that have left in its list, with the resources that they had."""
    living = {"Alive": True, "NodeID": "a", "NodeManagerAddress": "10.0.0.1", "Resources": {"CPU": 2.0}}
    dead = {"Alive": False, "NodeID": "b", "NodeManagerAddress": "10.0.0.2", "Resources": {"CPU": 64.0, "GPU": 8.0}}
    assert nodes_of([living, dead]) == [LAPTOP]
    assert free_nodes([living, dead], {"a": {"CPU": 0.5}}) == [Node("10.0.0.1", 0.5, 0.0)]
    assert free_nodes([living], {}) == [Node("10.0.0.1", 0.0, 0.0)], "a node that uses all of a resource tells none"


def test_room_that_another_run_uses_is_told_of() -> None:
    wanted = cluster(rollout=2, learner=2)
    assert taken(wanted, [LAPTOP]) is None
    told = taken(wanted, [Node("10.0.0.1", 0.5, 0)])
    assert told is not None and "in use (10.0.0.1: 0.5 CPUs, 0 GPUs are free)" in told and "\n" not in told
    assert taken(wanted, [Node("10.0.0.1", 0.5, 0), Node("10.0.0.2", 2, 0)]) is None, "another node has it"
