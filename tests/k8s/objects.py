"""Kubernetes objects as tests see them: read from YAML, and taken apart."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.sources import ROOT

Object = dict[str, Any]

K8S = ROOT / "k8s"
OVERLAYS = sorted(path.parent for path in K8S.glob("ray*/kustomization.yaml"))
COMPONENTS = sorted(path.parent for path in K8S.glob("components/*/kustomization.yaml"))
CLUSTER_SPECS = {
    "RayCluster": ("spec",),
    "RayJob": ("spec", "rayClusterSpec"),
    "RayService": ("spec", "rayClusterConfig"),
    "RayCronJob": ("spec", "jobTemplate", "rayClusterSpec"),
}
JOB_SPECS = {"RayJob": ("spec",), "RayCronJob": ("spec", "jobTemplate")}


def read(text: str) -> list[Object]:
    return [entry for entry in yaml.safe_load_all(text) if entry]


def written(folder: Path) -> list[Object]:
    """The manifests of a folder, as they lie there."""
    return [
        entry
        for file in sorted(folder.glob("*.yaml"))
        if file.name not in ("kustomization.yaml", "effrl.yaml")
        for entry in read(file.read_text())
    ]


def composed(folder: Path) -> list[Object]:
    """What ``kubectl apply -k`` would send. It skips where there is no kubectl."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: overlays were not composed")
    command = ["kubectl", "kustomize", "--load-restrictor", "LoadRestrictionsNone", str(folder)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    return read(process.stdout)


def inside(entry: Object, path: tuple[str, ...]) -> Any:
    node: Any = entry
    for name in path:
        node = node.get(name) or {}
    return node


def cluster_of(entry: Object) -> Object | None:
    """The RayCluster spec of an object of KubeRay's."""
    return inside(entry, CLUSTER_SPECS[entry["kind"]]) if entry["kind"] in CLUSTER_SPECS else None


def job_of(entry: Object) -> Object | None:
    return inside(entry, JOB_SPECS[entry["kind"]]) if entry["kind"] in JOB_SPECS else None


def groups_of(cluster: Object) -> list[Object]:
    """The head's group, and those of workers."""
    return [cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", [])]


def pods_of(entry: Object) -> Iterator[tuple[str, Object]]:
    """Every pod spec of an object, with a name for messages."""
    if (cluster := cluster_of(entry)) is not None:
        for group in groups_of(cluster):
            yield group.get("groupName", "head"), group["template"]["spec"]
    job = job_of(entry)
    if job is not None and "submitterPodTemplate" in job:
        yield "submitter", job["submitterPodTemplate"]["spec"]
