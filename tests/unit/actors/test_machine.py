"""Cores by control groups of both versions, and memory of processes that come and go."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from actors.machine import Usage, cpu_quota, driver_cpu_s, usable_cores, usage


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {}, 1e9),
        ("0::/pod/run\n", {"pod/run/cpu.max": "max 100000\n"}, 1e9),
        ("0::/pod/run\n", {"pod/run/cpu.max": "150000 100000\n"}, 1.5),
        ("0::/pod/run\n", {"pod/run/cpu.max": "max 100000\n", "pod/cpu.max": "400000 100000\n"}, 4),
        ("0::/elsewhere/outside\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/../outside\n", {"cpu.max": "200000 100000\n"}, 2),
        ("3:cpuset:/\n2:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, 1e9),
        ("2:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"}, 3),
        (
            "2:cpu,cpuacct:/a\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            0.5,
        ),
        ("1:cpu:/a\n0::/\n", {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"}, 3),
    ],
)
def test_the_smallest_quota_counts(tmp_path: Path, groups: str, files: dict[str, str], cores: float) -> None:
    write(tmp_path / "cgroup", groups)
    for name, text in files.items():
        write(tmp_path / "mount" / name, text)
    assert cpu_quota(tmp_path / "cgroup", tmp_path / "mount") == cores


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path / "nothing", tmp_path) == 1e9


@pytest.mark.parametrize(("quota", "cores"), [(0.4, 1), (1.5, 1), (2.0, 2), (1e9, 4)])
def test_cores_are_those_of_affinity_and_quota(monkeypatch: pytest.MonkeyPatch, quota: float, cores: int) -> None:
    """Under ``taskset`` a process has fewer than the machine, and threads would crowd."""
    monkeypatch.setattr("actors.machine.cpu_quota", lambda *_: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert usable_cores() == cores


CHILD = """
import subprocess, sys, time
held = bytearray({mb} * 2**20)
{child}
print("ready", flush=True)
time.sleep(60)
"""


def used_by(code: str) -> Usage | None:
    """What a process that runs ``code`` uses once it has said that it is ready, with all that it started."""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        found = usage([process.pid])[process.pid]
        os.killpg(process.pid, 9)
    return found


def test_memory_counts_what_a_process_started() -> None:
    own = CHILD.format(mb=30, child="")
    grandchild = f"subprocess.Popen([sys.executable, '-c', {own!r}], stdout=subprocess.PIPE).stdout.readline()"
    found = used_by(CHILD.format(mb=10, child=grandchild))
    assert found is not None and 40 < found.rss_mb < 200


def test_a_process_that_is_gone_uses_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert usage([process.pid, os.getpid()])[process.pid] is None


def test_children_that_come_and_go_do_no_harm() -> None:
    """Between listing a child and reading it, it may end: psutil's own ``children`` raises then."""
    stopped = threading.Event()

    def churn() -> None:
        while not stopped.is_set():
            subprocess.run(["true"], check=True)

    threads = [threading.Thread(target=churn) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        found = [usage([os.getpid()])[os.getpid()] for _ in range(60)]
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    assert all(used is not None and used.rss_mb > 10 for used in found)


BUSY = """
import subprocess, sys, time
while time.process_time() < {own}:
    pass
{child}
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("waited_for", [True, False])
def test_cpu_time_counts_what_a_process_started(waited_for: bool) -> None:
    """Also once it has ended, since its parent has waited for it."""
    code = BUSY.format(own=0.3, child="").replace("time.sleep(60)", "" if waited_for else "time.sleep(60)")
    start = (
        f"child = subprocess.Popen([sys.executable, '-c', {code!r}], stdout=subprocess.PIPE); child.stdout.readline()"
    )
    end = "; child.wait()" if waited_for else ""
    found = used_by(BUSY.format(own=0.2, child=start + end))
    assert found is not None and 0.45 < found.cpu_s < 2.0


def test_the_driver_s_cpu_time_is_its_own_alone() -> None:
    before = driver_cpu_s()["driver"]
    subprocess.run([sys.executable, "-c", BUSY.format(own=0.3, child="").replace("60", "0")], check=True)
    after = driver_cpu_s()
    assert 0 <= after["driver"] - before < 0.25 and "ray" not in after
