"""Every overlay and component of ``k8s/``: what KubeRay, a restricted namespace and effrl itself have against it."""

import shlex
from pathlib import Path

import pytest
import yaml

from deploy.commands.render import render
from tests.k8s.builtin import unfit
from tests.k8s.entrypoints import wrong_commands
from tests.k8s.objects import COMPONENTS, K8S, OVERLAYS, Object, composed, written
from tests.k8s.references import dangling
from tests.k8s.rules import broken
from tests.k8s.schema import PLURALS, RULES, problems
from tests.k8s.security import violations
from tests.unit.sources import ROOT

MANIFESTS = [next(folder.glob("ray*.yaml")) for folder in OVERLAYS]
JOBS = [folder for folder in OVERLAYS if folder.name.startswith("rayjob-")]
DIGEST = f"registry.example.com/effrl@sha256:{'0' * 64}"


def name(path: Path) -> str:
    return path.parent.name if path.is_file() else path.name


def config_in(entries: list[Object]) -> str | None:
    maps = [entry["data"] for entry in entries if entry["kind"] == "ConfigMap"]
    return next((data["config.yaml"] for data in maps if "config.yaml" in data), None)


def judged(entries: list[Object]) -> list[str]:
    """All that is wrong with objects that are applied together, but for schemas."""
    rays = [entry for entry in entries if entry["kind"] in PLURALS]
    assert rays, "there is something to look at"
    config = config_in(entries)
    found = [text for entry in rays for text in (*broken(entry), *violations(entry), *wrong_commands(entry, config))]
    return [*found, *dangling(entries)]


def with_component(component: Path, overlay: Path, tmp_path: Path) -> list[Object]:
    """An overlay with a component switched on, as a user would write it."""
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [_from(tmp_path, overlay)],
        "components": [_from(tmp_path, component)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return composed(tmp_path)


def _from(start: Path, target: Path) -> str:
    """kustomize takes relative paths alone."""
    return str(Path(*[".."] * len(start.resolve().parts[1:]), *target.resolve().parts[1:]))


@pytest.mark.parametrize("folder", OVERLAYS, ids=name)
def test_an_overlay_as_it_is_composed(folder: Path) -> None:
    assert judged(composed(folder)) == []


@pytest.mark.parametrize("folder", OVERLAYS, ids=name)
def test_an_overlay_fits_the_schemas(folder: Path) -> None:
    assert [text for entry in composed(folder) if entry["kind"] in PLURALS for text in problems(entry)] == []


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name)
def test_a_manifest_as_it_lies_there(manifest: Path) -> None:
    """Without kubectl: with base and config, and a digest where ``components/images`` puts it."""
    folder = manifest.parent
    text = manifest.read_text().replace("image: effrl-cpu", f"image: {DIGEST}")
    entries = list(yaml.safe_load_all(text.replace("image: effrl-cuda", f"image: {DIGEST}")))
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for generated in kustomization.get("configMapGenerator", []):
        data = {"config.yaml": (folder / "effrl.yaml").read_text()}
        entries.append({"kind": "ConfigMap", "metadata": {"name": generated["name"]}, "data": data})
    assert judged([*written(K8S / "base"), *entries]) == []


@pytest.mark.parametrize("manifest", MANIFESTS, ids=name)
def test_a_manifest_is_what_render_writes(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first line is the command."""
    monkeypatch.chdir(ROOT)
    first, *_ = manifest.read_text().splitlines()
    program, command, recipe, *words = shlex.split(first.removeprefix("# "))
    assert (program, command, words[-4], words[-2]) == ("effrl", "render", "--as", "--out")
    assert ROOT / words[-1] == manifest.parent
    render(recipe, words[:-4], words[-3], tmp_path)
    assert (tmp_path / manifest.name).read_text().splitlines()[1:] == manifest.read_text().splitlines()[1:]
    for file in tmp_path.glob("effrl.yaml"):
        assert file.read_text() == (manifest.parent / file.name).read_text()


@pytest.mark.parametrize("component", COMPONENTS, ids=name)
@pytest.mark.parametrize("overlay", JOBS, ids=name)
def test_a_component_suits_every_job(component: Path, overlay: Path, tmp_path: Path) -> None:
    entries = with_component(component, overlay, tmp_path)
    assert judged(entries) == []
    assert [text for entry in entries if entry["kind"] in PLURALS for text in problems(entry)] == []


def test_what_is_of_kubernetes_itself_fits_its_schemas(tmp_path: Path) -> None:
    entries = [entry for folder in OVERLAYS for entry in composed(folder)]
    for component in COMPONENTS:
        (folder := tmp_path / component.name).mkdir()
        entries += with_component(component, JOBS[0], folder)
    assert unfit(entries) == []


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    entries = written(K8S / "base")
    [claim] = [entry for entry in entries if entry["kind"] == "PersistentVolumeClaim"]
    [job] = [entry for entry in written(K8S / "rayjob-cpu-smoke") if entry["kind"] == "RayJob"]
    claim["spec"]["accessMode"] = claim["spec"].pop("accessModes")
    job["spec"]["submitterPodTemplate"]["spec"]["containers"][0]["resources"]["limit"] = {}
    found = unfit([*entries, job])
    assert len(found) == 2 and "accessMode" in found[0] and "limit" in found[1]


def test_every_rule_of_the_schemas_is_known() -> None:
    from tests.k8s.schema import schema_of

    def rules(node: object) -> set[str]:
        if isinstance(node, dict):
            own = {rule["rule"] for rule in node.get("x-kubernetes-validations", [])}
            return own.union(*map(rules, node.values()))
        return set[str]().union(*map(rules, node)) if isinstance(node, list) else set()

    assert set[str]().union(*(rules(schema_of(kind)) for kind in PLURALS)) == RULES.keys()


def test_placeholders_are_in_one_place() -> None:
    files = [file for file in K8S.rglob("*.yaml") if "0" * 64 in file.read_text()]
    assert files == [K8S / "components" / "images" / "kustomization.yaml"]


def test_all_is_in_one_namespace_that_refuses_what_is_not_restricted() -> None:
    [space] = [entry for entry in written(K8S / "base") if entry["kind"] == "Namespace"]
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for manifest in MANIFESTS:
        spaces = {entry["metadata"]["namespace"] for entry in yaml.safe_load_all(manifest.read_text())}
        assert spaces == {space["metadata"]["name"]}


def test_nobody_in_a_pod_can_call_kubernetes() -> None:
    """The account has no role, and no pod has its token."""
    [account] = [entry for entry in written(K8S / "base") if entry["kind"] == "ServiceAccount"]
    assert account["automountServiceAccountToken"] is False
    assert not [file for file in K8S.rglob("*.yaml") if "RoleBinding" in file.read_text()]


def test_the_smoke_test_fits_kind() -> None:
    """Four cores and eight GiB, the submitter's included."""
    from tests.k8s.objects import pods_of
    from tests.k8s.rules import bytes_of

    [job] = [entry for entry in written(K8S / "rayjob-cpu-smoke") if entry["kind"] == "RayJob"]
    asked = [container["resources"]["limits"] for _, pod in pods_of(job) for container in pod["containers"]]
    cores = [int(limits["cpu"].removesuffix("m")) / (1000 if "m" in limits["cpu"] else 1) for limits in asked]
    assert sum(cores) <= 4
    assert sum(bytes_of(limits["memory"]) for limits in asked) <= 8 * 2**30
