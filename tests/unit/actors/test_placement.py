"""What does not fit on the machines is found before anything starts: Ray would wait for a free GPU for ever."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.placement import Node, bundle, check_fit, free_nodes, in_turn, nodes_of, taken
from effrl.config.cluster import NodePool
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


def apart(**roles: Any) -> Config:
    """One worker of each role with a GPU, and what is said of a role besides."""
    workers = {role: {"gpus": 1, "cpus": 1, **roles.get(role, {})} for role in ("rollout", "learner", "prm")}
    shared = {name: value for name, value in roles.items() if name not in workers}
    return Config.model_validate(
        {"data": {"train": "tasks:chain"}, "process": {"kind": "implicit_prm"}, "cluster": workers | shared}
    )


def needs(config: Config, learning: bool = True) -> dict[str, float]:
    """Of a node, where all nodes carry the same."""
    [pool] = config.pools(learning)
    return bundle(pool)


def machine(gpus: float, name: str = "10.0.0.1", **labels: str) -> Node:
    return Node(name, cpus=64, gpus=gpus, labels=labels)


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


SPOT = [machine(1, "a", pool="spot", zone="x"), machine(1, "b", pool="spot")]


@pytest.mark.parametrize(
    ("wanted", "nodes"),
    [
        (cluster(), [LAPTOP]),
        (cluster(rollout=2, learner=2), [LAPTOP]),  # exactly all of it
        (cluster(rollout=4, learner=4, gpus=1), [machine(8)]),
        (cluster(gpus=1, nodes=2), [machine(2, "a"), LAPTOP, machine(2, "b")]),  # the head carries no worker
        (apart(labels={"pool": "gpu"}), [LAPTOP, machine(3, pool="gpu")]),
        (apart(rollout={"labels": {"pool": "spot"}, "nodes": 2}), [*SPOT, machine(2)]),
        # All of them have rooms of their own, and all of these are there.
        (apart(rollout={"nodes": 1}, learner={"nodes": 1}, prm={"nodes": 1}), [machine(3)]),
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
        (
            apart(rollout={"labels": {"pool": "spot"}}),
            [machine(8, "a", pool="on-demand"), machine(8, "b")],
            [
                "(rollout) need 1 CPUs and 1 GPUs on 1 node(s) with pool=spot",
                "0 node(s)",
                "pool=on-demand; b: 64 CPUs, 8 GPUs, no pool",
                "or nodes, per_node, gpus or cpus, or labels of cluster.rollout",
            ],
        ),
        (
            apart(rollout={"labels": {"pool": "spot"}, "nodes": 3}),
            [*SPOT, machine(8, "c")],
            ["on 3 node(s) with pool=spot", "but 2 node(s) can hold them"],
        ),
        (
            apart(rollout={"labels": {"pool": "spot", "zone": "x"}, "per_node": 2}),
            [*SPOT, machine(8, "c", zone="x")],
            ["2 GPUs on 1 node(s) with pool=spot, zone=x", "0 node(s)", "b: 64 CPUs, 1 GPUs, pool=spot, no zone"],
        ),
        (apart(learner={"nodes": 2}), [machine(8)], ["(learner) need", "on 2 node(s), but 1 node(s)"]),
        (
            apart(labels={"pool": "gpu"}),
            [machine(8)],
            ["(rollout and learner and prm)", "with pool=gpu, but 0 node(s)"],
        ),
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
    labels = {"pool": "spot"}
    living = {"Alive": True, "NodeID": "a", "NodeManagerAddress": "10.0.0.1", "Resources": {"CPU": 2.0}}
    dead = {"Alive": False, "NodeID": "b", "NodeManagerAddress": "10.0.0.2", "Resources": {"CPU": 64.0, "GPU": 8.0}}
    found = [node | {"Labels": labels} for node in (living, dead)]
    assert nodes_of(found) == [Node("10.0.0.1", 2, 0, labels)]
    assert free_nodes(found, {"a": {"CPU": 0.5}}) == [Node("10.0.0.1", 0.5, 0.0, labels)]
    assert free_nodes(found, {}) == [Node("10.0.0.1", 0.0, 0.0, labels)], "a node that uses all of it tells none"


def test_room_that_another_run_uses_is_told_of() -> None:
    [wanted] = cluster(rollout=2, learner=2).pools()
    assert taken(wanted, [LAPTOP]) is None
    told = taken(wanted, [Node("10.0.0.1", 0.5, 0)])
    assert told is not None and "in use (10.0.0.1: 0.5 CPUs, 0 GPUs are free)" in told and "\n" not in told
    assert taken(wanted, [Node("10.0.0.1", 0.5, 0), Node("10.0.0.2", 2, 0)]) is None, "another node has it"


def test_room_that_the_run_itself_uses_is_told_of() -> None:
    """Each role fits on its own, and both do not: nothing that uses it will end."""
    first, second, _ = apart(rollout={"labels": {"pool": "a"}}, learner={"labels": {"pool": "a"}}).pools()
    assert (first.roles, second.roles) == (("rollout",), ("learner",))
    told = taken(second, [machine(0, pool="a")], held=("rollout",))
    assert told is not None and "pool=a are free, rollout of this run has its room already)" in told
    assert taken(second, [machine(1, "b")]) is not None, "that one has another label"


def test_who_reserves_nothing_is_told() -> None:
    """Ray refuses an empty bundle with a traceback."""
    with pytest.raises(UserError, match=r"cluster.rollout reserve nothing.*set cpus"):
        check_fit(cluster_of(rollout={"cpus": 0, "nodes": 1}), [LAPTOP])
    check_fit(cluster_of(rollout={"cpus": 0}), [LAPTOP])  # the learner beside it does


# --- pools


def cluster_of(**cluster: Any) -> Config:
    return Config.model_validate({"data": {"train": "tasks:chain"}, "cluster": cluster})


def test_roles_without_a_place_of_their_own_are_together() -> None:
    assert cluster_of(nodes=2).pools() == (NodePool(("rollout", "learner"), 2, 1.0, 0, {}),)
    found = apart(learner={"labels": {"pool": "keep"}}, nodes=4).pools()
    assert [(pool.roles, pool.nodes, pool.gpus) for pool in found] == [(("learner",), 4, 1), (("rollout", "prm"), 4, 2)]


def test_a_role_takes_over_what_it_does_not_say_itself() -> None:
    first, second = cluster_of(nodes=3, labels={"zone": "x"}, rollout={"nodes": 5}, learner={"labels": {}}).pools()
    assert (first.roles, first.nodes, first.labels) == (("rollout",), 5, {"zone": "x"})
    assert (second.roles, second.nodes, second.labels) == (("learner",), 3, {}), "empty labels: any node will do"


def test_workers_are_counted_on_their_own_nodes() -> None:
    found = cluster_of(nodes=2, rollout={"nodes": 3, "per_node": 4, "min": 12}, learner={"per_node": 2}).cluster
    assert (found.rollout_workers, found.ranks, found.prm_ranks) == (12, 4, 2)


def test_whoever_is_hardest_to_place_comes_first() -> None:
    """Who may be anywhere would else take the one node that another role can be on."""
    found = apart(rollout={"nodes": 1, "per_node": 8}, learner={"labels": {"pool": "keep"}}, prm={"nodes": 1}).pools()
    assert [pool.roles for pool in found] == [("learner",), ("rollout",), ("prm",)]


def test_further_actors_of_a_role_go_from_node_to_node() -> None:
    """The driver's node is named first, and again where it carries workers."""
    assert in_turn("reward", 1, ["a", "b"]) == {"reward": "a"}
    assert in_turn("reward", 4, ["a", "b", "a", "b", "c"]) == {
        "reward": "a",
        "reward-1": "b",
        "reward-2": "c",
        "reward-3": "a",
    }


LABELS = st.dictionaries(st.sampled_from("xy"), st.sampled_from("12"))
NODES = st.lists(st.builds(Node, st.just("n"), st.integers(0, 3), st.integers(0, 3), LABELS), max_size=4)
POOLS = st.builds(NodePool, st.just(("rollout",)), st.integers(1, 3), st.integers(0, 3), st.integers(0, 3), LABELS)


@given(POOLS, NODES)
def test_a_pool_fits_where_as_many_nodes_hold_it_as_it_has(pool: NodePool, nodes: list[Node]) -> None:
    """Counted the slow way; and whoever fits into what is free fits into it with a node more."""
    holding = 0
    for node in nodes:
        enough = not node.cpus < pool.cpus and not node.gpus < pool.gpus
        holding += enough and all(node.labels.get(key) == value for key, value in pool.labels.items())
    assert (taken(pool, nodes) is None) == (holding >= pool.nodes)
    if taken(pool, nodes) is None:
        assert taken(pool, [*nodes, LAPTOP]) is None
