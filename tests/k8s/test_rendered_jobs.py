"""``effrl render``: what it prints for every recipe, what it writes, and what it refuses."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from deploy import cli
from deploy.render.options import LONGEST_NAME, RenderOptions, options_of
from deploy.render.sizes import store_gib, worker_groups
from effrl.config import load
from effrl.config.schema import Config
from tests.k8s.entrypoints import parsed, wrong_commands
from tests.k8s.objects import COMPONENTS, K8S, OVERLAYS, Object, composed, inside, read, written
from tests.k8s.references import dangling
from tests.k8s.rules import broken
from tests.k8s.schema import PLURALS, problems
from tests.k8s.security import violations

IMAGE = f"k8s.image=registry.example.com/effrl@sha256:{'0' * 64}"
Render = Callable[..., str]


@pytest.fixture
def render(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Render:
    """The real command line, in an empty directory; gives what is printed."""

    def run(*words: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["effrl", "render", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        output = capsys.readouterr()
        assert (end.value.code or 0) == code, output.err
        return output.out if code == 0 else output.err

    monkeypatch.chdir(tmp_path)
    return run


def job_in(text: str) -> Object:
    [job] = [entry for entry in read(text) if entry["kind"] == "RayJob"]
    return job


def options(**given: object) -> RenderOptions:
    return RenderOptions.model_validate({"image": "effrl-cpu", "name": "run", **given})


@pytest.mark.parametrize("recipe", load.recipes())
@pytest.mark.parametrize("kind", ["job", "cluster", "nightly-eval", "policy"])
def test_every_recipe_gives_what_kuberay_takes(recipe: str, kind: str, render: Render) -> None:
    entries = read(render(recipe, IMAGE, "k8s.parameters=494e6", "--as", kind))
    [ray] = [entry for entry in entries if entry["kind"] in PLURALS]
    assert [*broken(ray), *violations(ray), *wrong_commands(ray, load.text(recipe))] == []
    assert dangling([*entries, *written(K8S / "base")]) == []


@pytest.mark.parametrize("recipe", load.recipes())
def test_every_recipe_fits_the_schema(recipe: str, render: Render) -> None:
    assert problems(job_in(render(recipe, IMAGE, "k8s.parameters=494e6"))) == []


def test_the_config_travels_as_it_was_written(render: Render) -> None:
    """With its comments: it is the same file as on a laptop."""
    entries = read(render("quickstart", IMAGE))
    assert entries[0]["data"]["config.yaml"] == load.text("quickstart")
    assert "# GRPO" in entries[0]["data"]["config.yaml"]


def test_overrides_are_in_the_config_and_never_pass_through_a_shell(render: Render) -> None:
    source = "data.train=tasks:chain?size=8&seed=2"
    entries = read(render("quickstart", IMAGE, source, "run.steps=7"))
    config = yaml.safe_load(entries[0]["data"]["config.yaml"])
    assert (config["data"]["train"], config["run"]["steps"]) == ("tasks:chain?size=8&seed=2", 7)
    assert "steps" not in job_in(render("quickstart", IMAGE, "run.steps=7"))["spec"]["entrypoint"]


def test_a_run_that_has_a_directory_keeps_it_on_the_volume(render: Render) -> None:
    job = job_in(render("quickstart", IMAGE, "run.dir=runs/mine"))
    assert "run.dir=/data/runs/mine" in job["spec"]["entrypoint"]
    assert "/data" in render("quickstart", IMAGE, "run.dir=/elsewhere/mine", code=2)


def test_a_ledger_that_an_inbox_owns_gets_no_volume(render: Render) -> None:
    entries = read(render("care_human", IMAGE, "label.ledger=http://inbox-serve-svc:8000"))
    assert [entry["kind"] for entry in entries] == ["ConfigMap", "RayJob"]
    assert "label.ledger" not in entries[1]["spec"]["entrypoint"]


def test_what_is_written_is_an_overlay(render: Render, tmp_path: Path) -> None:
    printed = render("quickstart", IMAGE, "run.steps=5")
    render("quickstart", IMAGE, "run.steps=5", "--out", "mine")
    order = [entry["kind"] for entry in read(printed)]
    found = {entry["kind"]: entry for entry in composed(tmp_path / "mine")}
    assert [found[kind] for kind in order] == read(printed)


def test_a_second_write_leaves_the_kustomization_alone(render: Render, tmp_path: Path) -> None:
    render("quickstart", IMAGE, "--out", "mine")
    (tmp_path / "mine" / "kustomization.yaml").write_text("# mine")
    render("quickstart", IMAGE, "run.steps=5", "--out", "mine")
    assert (tmp_path / "mine" / "kustomization.yaml").read_text() == "# mine"
    assert "steps: 5" in (tmp_path / "mine" / "effrl.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["quickstart"], "k8s.image=REPOSITORY@sha256:DIGEST"),
        (["quickstart", "k8s.image=effrl:latest"], "a tag can be moved"),
        (["quickstart", "k8s.image=effrl@sha256:12"], "64 hexadecimal digits"),
        (["quickstart", IMAGE, "k8s.grace=5"], "did you mean k8s.grace_s?"),
        (["quickstart", IMAGE, "k8s.name=Run_1"], "small letters, digits and dashes"),
        (["quickstart", IMAGE, "k8s.grace_s=30"], "k8s.grace_s"),
        (["quickstart", IMAGE, "k8s.deadline_s=60"], "raise it"),
        (["gsm8k-qwen2.5-0.5b", IMAGE], "k8s.parameters=494e6"),
        (["quickstrat", IMAGE], "did you mean 'quickstart'?"),
        (["quickstart", IMAGE, "--out", "/dev/null/mine"], "choose another --out"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], said: str, render: Render) -> None:
    line = render(*words, code=2)
    assert said in line and len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("gsm8k-qwen2.5-0.5b", "gsm8k-qwen2-5-0-5b"),
        ("configs/My Run_3.yaml", "my-run-3"),
        ("2026-01-31.yml", "run-2026-01-31"),
        ("_.yaml", "run"),
        (f"{'a' * 80}.yaml", "a" * LONGEST_NAME),
    ],
)
def test_names_come_from_the_config(file: str, name: str) -> None:
    assert options_of(["image=effrl-cpu"], file).name == name


def test_every_option_has_a_line_in_the_readme() -> None:
    table = (K8S / "README.md").read_text().partition("## Options")[2]
    assert [name for name in RenderOptions.model_fields if f"| `k8s.{name}`" not in table] == []


@pytest.mark.parametrize("command", re.findall(r"^effrl .*", (K8S / "README.md").read_text(), re.MULTILINE))
def test_a_command_of_the_readme_exists(command: str) -> None:
    parsed(re.split(r" #| \|", command)[0])


def test_the_readme_has_a_row_for_all_that_lies_there() -> None:
    text = (K8S / "README.md").read_text()
    assert [folder.name for folder in (*OVERLAYS, *COMPONENTS) if f"| `{folder.name}` |" not in text] == []


# --- sizes


def config(*overrides: str) -> Config:
    return load.load("quickstart", overrides)


def test_shared_memory_follows_the_model() -> None:
    """Two versions of the weights: the one that is served, and the one that comes."""
    assert [store_gib(config(), options(parameters=size)) for size in (1e6, 0.5e9, 7e9)] == [1, 5, 53]
    assert store_gib(config("model.dtype=bfloat16"), options(parameters=7e9)) == 27


def test_a_worker_pod_holds_all_workers_of_a_node() -> None:
    four = ("cluster.rollout={per_node: 4, gpus: 1}", "cluster.learner={per_node: 4, gpus: 1}", "cluster.nodes=2")
    [group] = worker_groups(config(*four), options())
    assert (group.nodes, group.gpus, group.cpus) == (2, 8, 64)
    [sampling] = worker_groups(config(*four), options(), learning=False)
    assert (sampling.nodes, sampling.gpus) == (2, 4)


def test_roles_apart_are_groups_of_their_own_with_labels(render: Render) -> None:
    apart = (
        "cluster.learner={per_node: 8, gpus: 1, labels: {pool: on-demand}}",
        "cluster.rollout={nodes: 3, per_node: 4, gpus: 1, labels: {pool: spot}}",
    )
    groups = {group.name: group for group in worker_groups(config(*apart), options())}
    assert {name: (group.nodes, group.gpus, dict(group.labels)) for name, group in groups.items()} == {
        "learner": (1, 8, {"pool": "on-demand"}),
        "rollout": (3, 4, {"pool": "spot"}),
    }
    entries = read(render("quickstart", IMAGE, *apart))
    specs = job_in(render("quickstart", IMAGE, *apart))["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert {spec["groupName"]: spec["labels"] for spec in specs} == {
        "learner": {"pool": "on-demand"},
        "rollout": {"pool": "spot"},
    }
    assert [problem for entry in entries if entry["kind"] == "RayJob" for problem in broken(entry)] == []


def test_workers_that_may_join_are_pods_that_ray_may_ask_for(render: Render) -> None:
    most = "cluster.rollout={nodes: 2, per_node: 4, gpus: 1, max: 14, labels: {pool: spot}}"
    job = job_in(render("quickstart", IMAGE, most))
    spec = job["spec"]["rayClusterSpec"]
    replicas = {group["groupName"]: [group[f"{name}Replicas"] for name in ("min", "max")] for group in _groups(spec)}
    assert replicas == {"rollout": [2, 4], "learner": [1, 1]}
    assert (spec["enableInTreeAutoscaling"], spec["autoscalerOptions"]["version"]) == (True, "v2")
    tokens = [group["template"]["spec"]["automountServiceAccountToken"] for group in _groups(spec)]
    assert spec["headGroupSpec"]["template"]["spec"]["automountServiceAccountToken"] and tokens == [False, False]
    assert [*broken(job), *violations(job)] == []
    fixed = job_in(render("quickstart", IMAGE))["spec"]["rayClusterSpec"]
    assert "enableInTreeAutoscaling" not in fixed and "DeleteWorkers" not in str(job["spec"]["deletionStrategy"])


def _groups(spec: Object) -> list[Object]:
    groups: list[Object] = spec["workerGroupSpecs"]
    return groups


def test_memory_grows_with_workers_and_model_and_can_be_said() -> None:
    def memory(*overrides: str, **given: object) -> int:
        [group] = worker_groups(config(*overrides), options(**given))
        return group.memory_gib

    assert memory() < memory("cluster.learner.per_node=4") < memory("cluster.learner.per_node=4", parameters=1e9)
    assert memory(worker_memory_gib=9) == 9


def test_cores_suffice_for_what_ray_reserves() -> None:
    [group] = worker_groups(config("cluster.learner.cpus=6"), options())
    assert group.cpus >= 7


def test_one_image_and_one_grace_are_everywhere(render: Render) -> None:
    job = job_in(render("quickstart", IMAGE, "k8s.grace_s=700"))
    spec = job["spec"]["rayClusterSpec"]
    pods = [spec["headGroupSpec"]["template"]["spec"], spec["workerGroupSpecs"][0]["template"]["spec"]]
    assert {pod["terminationGracePeriodSeconds"] for pod in pods} == {700}
    hooks = [inside(pod["containers"][0], ("lifecycle", "preStop", "exec"))["command"] for pod in pods]
    assert all(" ".join(hook).endswith("effrl stop /data/runs/quickstart --wait 640") for hook in hooks)
