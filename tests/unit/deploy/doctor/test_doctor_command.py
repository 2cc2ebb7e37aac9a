"""What ``effrl doctor`` shows, with which status it ends, and how a cluster is asked; no Ray is started."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from healthy_cluster import CLUSTER, HERE, NEEDS, with_facts, with_seen
from rich.console import Console

from actors.node.survey import Answered
from actors.placement import Member, Node
from deploy.commands import doctor
from deploy.doctor import checks, gather
from deploy.doctor.finding import GIB, Finding
from deploy.doctor.needs import needs_of
from deploy.doctor.probe import NodeProbe
from effrl.errors import RunError, UserError

CommandLine = Callable[..., tuple[object, str, str]]
FIT = Finding("a", "ok", "1", "1")
DOUBTFUL = Finding("c", "warning", "2", "1", "wait")
UNFIT = Finding("b", "failure", "0 [none]", "1", "pip install 'b[x]'")


def console() -> Console:
    return Console(file=StringIO(), width=200)


def printed(to: Console) -> str:
    assert isinstance(to.file, StringIO)
    return to.file.getvalue()


def fails() -> None:
    raise RunError("rollout worker 0 [pid 7] died")


# --- what is told


def test_remedies_are_printed_and_the_self_test_is_left_out() -> None:
    to, tested = console(), list[bool]()
    assert doctor.tell_people(to, [FIT, UNFIT, DOUBTFUL], CLUSTER, lambda: tested.append(True)) == 1
    assert not tested
    assert "b: pip install 'b[x]'" in printed(to), "square brackets are not markup"
    assert "0 [none]" in printed(to) and "c: wait" in printed(to)
    assert "self-test left out" in printed(to)


def test_a_healthy_installation_is_tested() -> None:
    to, tested = console(), list[bool]()
    assert doctor.tell_people(to, [FIT, DOUBTFUL], CLUSTER, None) == 0
    assert doctor.tell_people(to, [FIT, DOUBTFUL], CLUSTER, lambda: tested.append(True)) == 0
    assert tested == [True]
    assert "self-test passed" in printed(to)


def test_a_failed_self_test_is_one_line_and_status_1() -> None:
    to = console()
    assert doctor.tell_people(to, [FIT], CLUSTER, fails) == 1
    assert "self-test failed: rollout worker 0 [pid 7] died" in printed(to)


def test_findings_of_some_nodes_name_them() -> None:
    to = console()
    doctor.tell_people(to, checks.of_cluster(with_facts(memory_free=GIB)), CLUSTER, None)
    assert "memory (10.0.0.2): close other programs" in printed(to)
    assert "swap (" not in printed(to), "of all nodes"


def test_json_has_findings_and_facts() -> None:
    to = console()
    wrong = with_seen(offset_s=-40.0)
    assert doctor.tell_json(to, checks.of_cluster(wrong), wrong, None) == 1
    told = json.loads(printed(to))
    assert told["healthy"] is False
    [clocks] = [finding for finding in told["findings"] if finding["level"] != "ok"]
    assert clocks["name"] == "clocks" and "chrony" in clocks["remedy"]
    assert told["facts"]["nodes"][1]["offset_s"] == -40.0
    assert told["facts"]["here"]["distributions"]["ray"] == HERE.version("ray")


def test_a_failed_self_test_is_a_finding_of_json() -> None:
    to = console()
    assert doctor.tell_json(to, [FIT], CLUSTER, fails) == 1
    assert json.loads(printed(to))["findings"][-1]["found"] == "rollout worker 0 [pid 7] died"
    to = console()
    assert doctor.tell_json(to, [FIT], CLUSTER, lambda: None) == 0
    assert json.loads(printed(to))["healthy"] is True


# --- the command


def test_a_machine_is_looked_at_with_a_config(command_line: CommandLine, tmp_path: Path) -> None:
    """And nothing stays where the run will be."""
    command = ("doctor", "quickstart", f"run.dir={tmp_path}/runs/mine", "--no-self-test", "--json")
    _, out, _ = command_line(*command)
    told = json.loads(out)
    findings = {finding["name"]: finding for finding in told["findings"]}
    assert len(findings) == len(told["findings"]), "a name for each"
    assert findings["files of nodes"]["level"] == findings["run directory"]["level"] == "ok"
    assert findings["room for rollout and learner"]["level"] == "ok"
    assert "locks" not in findings and "clocks" not in findings, "there is one node"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--address", "http://head:8265"), "is a dashboard: give that of Ray itself, HOST:6379, or auto"),
        (("--address", "127.0.0.1:1"), "nothing answers at 127.0.0.1:1"),
        (("no_such_recipe",), "no_such_recipe"),
    ],
)
def test_what_leads_nowhere_is_one_line(arguments: tuple[str, ...], said: str, command_line: CommandLine) -> None:
    code, out, err = command_line("doctor", *arguments)
    assert (code, out) == (2, "") and said in err and len(err.splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refused)
    needs = replace(NEEDS, folder=str(tmp_path / "runs"))
    with pytest.raises(UserError, match=r"cannot write a run to .* \(Permission denied\): choose another run.dir"):
        gather.this_machine(needs)


def test_looking_loads_no_engine_and_no_ray() -> None:
    code = "import sys; from deploy.doctor import checks, gather; checks.of_machine(gather.this_machine(None))"
    code += "; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert not {"torch", "ray", "vllm", "deepspeed", "transformers"} & set(done.stdout.split())


# --- what nodes answer


def answers_of(*nodes: Answered) -> tuple[list[str], dict[str, str]]:
    seen, silent = gather.understood(nodes)
    return [node.member.name for node in seen], silent


def test_nodes_that_say_nothing_or_nonsense_are_silent() -> None:
    has = Node("a", 1.0, 0.0)
    member = Member("a", "10.0.0.1", "a", has, has)
    report = NodeProbe().look(gather.wanted("127.0.0.1", "a", None, None))
    good = Answered(member, report, offset_s=1.0)
    odd = Answered(replace(member, name="b"), {**report, "cores": "many"})
    gone = Answered(replace(member, name="c"), None, silence="node c died")
    names, silent = answers_of(good, odd, gone)
    assert names == ["a"] and silent["c"] == "node c died" and "nobody understands" in silent["b"]


def test_what_a_config_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "doctors_losses.py").write_text("def loss(*_): ...")
    monkeypatch.syspath_prepend(tmp_path)
    needs = needs_of("quickstart", [f"run.dir={tmp_path}/mine", "cluster.nodes=2", "loss.kind=doctors_losses:loss"])
    [pool] = needs.pools
    assert pool.nodes == 2 and needs.folder == f"{tmp_path}/mine" and needs.modules == ("doctors_losses",)
    assert needs.weights > 0 and needs.gpu_memory == {} and needs.gpu_share == 0
    assert needs.host_memory["rollout"] > GIB > needs.weights, "libraries and cache included"
    assert all((Path(model) / "config.json").is_file() for model in needs.models)


def test_what_a_config_needs_of_gpus() -> None:
    settings = ["cluster.rollout.gpus=1", "cluster.learner.gpus=1", "model.dtype=bfloat16"]
    needs = needs_of("quickstart", settings)
    assert set(needs.gpu_memory) == {"rollout", "learner"} and needs.gpu_share > 0
    assert needs.host_memory["rollout"] < GIB, "a copy of the weights alone"
