"""``effrl render | kubectl apply`` against an API server that only keeps what it gets: no operator was run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.k8s.fake_api import fake_api
from tests.k8s.objects import OVERLAYS, Object, composed, read
from tests.unit.sources import ROOT

IMAGE = f"k8s.image=registry.example.com/effrl@sha256:{'0' * 64}"
LAST = "kubectl.kubernetes.io/last-applied-configuration"


def apply(address: str, home: Path, *words: str, text: str | None = None) -> str:
    """What kubectl says; no configuration of the user's is read."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: nothing was applied")
    command = ["kubectl", "--server", address, "apply", "--validate=false", *words]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "KUBECONFIG": str(home / "none")}
    process = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, env=environment)
    assert process.returncode == 0, process.stderr
    return process.stdout


def render(*words: str) -> str:
    command = [sys.executable, "-m", "effrl", "render", *words]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert process.returncode == 0, process.stderr
    return process.stdout


def plain(entry: Object) -> Object:
    """Without what kubectl notes down."""
    metadata = {name: value for name, value in entry["metadata"].items() if name != "annotations"}
    notes = {name: value for name, value in entry["metadata"].get("annotations", {}).items() if name != LAST}
    return {**entry, "metadata": {**metadata, **({"annotations": notes} if notes else {})}}


def test_a_rendered_run_is_created_whole(tmp_path: Path) -> None:
    text = render("quickstart", IMAGE)
    with fake_api() as api:
        said = apply(api.address, tmp_path, "-f", "-", text=text)
    assert list(api.objects) == [
        "/api/v1/namespaces/effrl/configmaps/quickstart",
        "/api/v1/namespaces/effrl/persistentvolumeclaims/quickstart-ledger",
        "/apis/ray.io/v1/namespaces/effrl/rayjobs/quickstart",
    ]
    assert [plain(entry) for entry in api.objects.values()] == read(text)
    assert said.splitlines() == [
        "configmap/quickstart created",
        "persistentvolumeclaim/quickstart-ledger created",
        "rayjob.ray.io/quickstart created",
    ]


@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda folder: folder.name)
def test_an_overlay_is_created_whole(folder: Path, tmp_path: Path) -> None:
    with fake_api() as api:
        apply(api.address, tmp_path, "-k", str(folder))
    created = {(entry["kind"], entry["metadata"]["name"]): plain(entry) for entry in api.objects.values()}
    assert created == {(entry["kind"], entry["metadata"]["name"]): entry for entry in composed(folder)}


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    text = render("quickstart", IMAGE)
    with fake_api() as api:
        apply(api.address, tmp_path, "-f", "-", text=text)
        said = apply(api.address, tmp_path, "-f", "-", text=text)
    assert [line.rpartition(" ")[2] for line in said.splitlines()] == ["unchanged"] * 3
