"""What a probe reports: of machines that it did not run on, and of this one."""

import fcntl
import os
import socket
import sys
from importlib import metadata
from pathlib import Path

import pytest

import deploy
from deploy.doctor import gather, probe
from deploy.doctor.facts import NodeFacts

MEMINFO = "MemTotal:       16000 kB\nMemAvailable:    8000 kB\n"
SMI = """#!/bin/sh
case "$1" in
--query-gpu*) echo "GPU-a, NVIDIA H100, 81559, 20000, 580.1, 0"; echo "GPU-b, NVIDIA H100, 81559, [N/A], 580.1, [N/A]";;
*) echo "GPU-a, {pid}, /usr/bin/python3, 19000"; echo "GPU-a, 999999999, [Not Found], 10";;
esac
"""


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program that lists GPUs; it is yours to write."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    command = tmp_path / "nvidia-smi"
    command.touch(mode=0o755)
    return command


def test_a_report_is_understood_whole() -> None:
    """The facts refuse what they do not know, and what is missing."""
    seen = gather.this_machine(None)
    assert seen.here.python == sys.version_info[:3] and seen.here.code == deploy_version()
    assert seen.here.port is not None and seen.here.address == "127.0.0.1"
    assert seen.here.packages["deploy"] == str(Path(deploy.__file__).parent)
    assert seen.here.version("rich") is None if "rich" in seen.here.distributions else True
    assert seen.here.visit is None


def deploy_version() -> str:
    return metadata.version("effrl")


# --- what is installed


@pytest.mark.parametrize(
    ("text", "build"),
    [
        ("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n", "CPU"),
        ("__version__ = '2.13.0'\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n", "CUDA 13.0"),
        ('cuda = None\nhip = "7.0"\n', "ROCm 7.0"),
    ],
)
def test_torch_build(text: str, build: str) -> None:
    assert probe.torch_build(text) == build


def test_build_of_a_torch_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text("raise OSError('libcublas.so is missing')")
    (tmp_path / "torch/version.py").write_text("cuda: Optional[str] = '13.0'\n")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    assert probe.installed_torch_build() == "CUDA 13.0"


def test_installed_reads_metadata() -> None:
    assert probe.installed("rich") == metadata.version("rich")
    assert probe.installed("surely-not-installed") is None


def test_package_folder_of_a_module_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "doctors_own_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert probe.package_folder("doctors_own_module") is None
    assert probe.package_folder("no_such_module_anywhere") is None


def test_a_changed_line_is_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One version number, two commits."""
    package = tmp_path / "doctors_package"
    package.mkdir()
    (package / "__init__.py").write_text("a = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = probe.source(["doctors_package"])
    assert before == probe.source(["doctors_package"])
    (package / "__init__.py").write_text("a = 2\n")
    assert probe.source(["doctors_package"]) != before
    (package / "__init__.py").write_text("a = 1\n")
    (package / "__init__.py").rename(package / "other.py")
    assert probe.source(["doctors_package"]) != before


def test_own_code_is_looked_for_where_a_run_would(tmp_path: Path) -> None:
    (tmp_path / "doctors_loss.py").write_text("raise OSError('it is not to be imported')")
    assert probe.has_module("doctors_loss", [str(tmp_path)])
    assert not probe.has_module("doctors_loss", [])


# --- the machine


def test_memory_is_bounded_by_the_container() -> None:
    assert probe.free_memory(MEMINFO) == 8000 * 1024
    assert probe.free_memory(MEMINFO, "max\n", "123\n") == 8000 * 1024
    assert probe.free_memory(MEMINFO, "5000\n", "4000\n") == 1000
    cache = "anon 9\nfile 700\ninactive_file 400\nactive_file 200\n"
    assert probe.free_memory(MEMINFO, "5000\n", "4000\n", cache) == 1600, "file cache yields"
    assert probe.free_memory("") == 0


@pytest.mark.parametrize(("group", "processes"), [("512\n", 512), ("max\n", 4000), ("", 4000)])
def test_processes_are_bounded_by_user_and_container(
    group: str, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "read", lambda path: group)
    monkeypatch.setattr(probe.resource, "getrlimit", lambda what: (4000, 8000))
    assert probe.limits() == {"open_files": 4000, "processes": processes}


def test_no_limit_is_minus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "read", lambda path: "")
    monkeypatch.setattr(probe.resource, "getrlimit", lambda what: (probe.resource.RLIM_INFINITY, -1))
    assert probe.limits() == {"open_files": -1, "processes": -1}


def test_the_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert probe.disk(tmp_path / "runs" / "mine")["free"] > 0


def test_gpus_and_who_uses_them(smi: Path) -> None:
    smi.write_text(SMI.format(pid=os.getpid()))
    first, second = probe.gpus()
    assert (first["name"], first["memory"], first["used"], first["errors"]) == ("NVIDIA H100", 81559, 20000, 0)
    mine, unknown = first["users"]
    assert mine.startswith("python3 (") and f"process {os.getpid()})" in mine and "," in mine
    assert unknown == "[Not Found] (process 999999999)"
    assert (second["used"], second["errors"], second["users"]) == (None, None, [])


@pytest.mark.parametrize("script", ["echo no driver >&2; exit 9", "echo one field"])
def test_a_driver_that_does_not_answer(script: str, smi: Path) -> None:
    smi.write_text(f"#!/bin/sh\n{script}\n")
    assert probe.gpus() == []


def test_no_driver_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probe.gpus() == []


# --- the network


def test_a_port_is_open_as_long_as_the_probe_lives() -> None:
    listener, refused = probe.listen("127.0.0.1")
    assert listener is not None and refused == ""
    with listener:
        place = ("127.0.0.1", listener.getsockname()[1])
        assert probe.NodeProbe().reach([place]) == []
    assert probe.NodeProbe().reach([place]) == ["127.0.0.1"]


def test_an_address_that_is_not_of_this_machine() -> None:
    listener, refused = probe.listen("192.0.2.1")
    assert listener is None and "assign" in refused


@pytest.mark.parametrize(
    ("mode", "folder", "seen"), [(0o644, 0o755, True), (0o600, 0o755, False), (0o644, 0o700, False)]
)
def test_others_need_a_way_to_a_token(mode: int, folder: int, seen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray leaves the file readable; a home that is closed keeps others away from it."""
    modes = {"/home/me/.ray/auth_token": mode, "/home/me": folder}
    monkeypatch.setattr(Path, "stat", lambda path: os.stat_result((modes.get(str(path), 0o755), *range(9))))
    assert probe.seen_by_others(Path("/home/me/.ray/auth_token")) is seen


def test_no_token_is_seen_by_nobody(tmp_path: Path) -> None:
    assert not probe.seen_by_others(tmp_path / "token")


# --- storage


def test_a_visit_to_a_folder_that_all_share(tmp_path: Path) -> None:
    with open(tmp_path / "marker", "wb") as marker:
        fcntl.flock(marker, fcntl.LOCK_EX)
        found = probe.visit(tmp_path, "node")
    assert (found["sees"], found["locked"], found["wrote"], found["error"]) == (True, True, True, "")
    assert found["seconds"] > 0 and (tmp_path / "node").stat().st_size == probe.SAMPLE


def test_a_lock_that_does_not_hold(tmp_path: Path) -> None:
    (tmp_path / "marker").touch()
    assert probe.visit(tmp_path, "node")["locked"] is False


def test_a_folder_of_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "VISIBLE_S", 0.3)
    assert probe.visit(tmp_path, "node")["sees"] is False


def test_a_folder_that_takes_no_files(tmp_path: Path) -> None:
    (tmp_path / "marker").touch()
    (tmp_path / "node").mkdir()
    found = probe.visit(tmp_path, "node")
    assert found["wrote"] is False and "Is a directory" in found["error"]


def test_a_report_of_other_code_is_refused() -> None:
    with pytest.raises(ValueError, match="hostname"):
        NodeFacts.model_validate({"python": [3, 11, 7]})
    assert socket.gethostname() == gather.this_machine(None).here.hostname
