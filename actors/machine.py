"""What a machine lets a process use, its cores, and what processes use: memory and CPU time."""

import ctypes
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from math import floor
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores for the threads of this process: fewer than the machine has under ``taskset`` or in a container.

    More threads than cores crowd each other; more than a container's quota are all put to sleep until its next period.
    """
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return max(1, min(allowed, floor(cpu_quota(Path("/proc/self/cgroup"), CGROUPS))))


def cpu_quota(groups: Path, root: Path) -> float:
    """The smallest quota of a process's control groups, in cores; 1e9 where there is none.

    Args:
        groups: the process's ``/proc/PID/cgroup``.
        root: where cgroups are mounted, in version 2 or 1. A container may see its own group there as the root,
            whatever its path is called outside.
    """
    quotas = [1e9]
    with suppress(OSError):
        for line in groups.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                quotas += filter(None, (_version_2(folder) for folder in _upwards(root, path)))
            elif "cpu" in controllers.split(","):
                mounts = (root / controllers, root / "cpu")
                quotas += filter(None, (_version_1(folder) for mount in mounts for folder in _upwards(mount, path)))
    return min(quotas)


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """A group's folder and all above it, up to the mount."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for length in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:length])


def _version_2(folder: Path) -> float | None:
    with suppress(OSError, ValueError):  # ValueError: "max" is no number, and no quota
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    return None


def _version_1(folder: Path) -> float | None:
    with suppress(OSError, ValueError):
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        return quota / int((folder / "cpu.cfs_period_us").read_text()) if quota > 0 else None
    return None


def give_back_memory() -> None:
    """Return what the C library holds but does not use, once a batch of work is done.

    glibc keeps the scattered pages that small temporaries leave: engine and learner grew by megabytes in 100 steps of
    the tiny model. Told to return them at every chance (``MALLOC_TRIM_THRESHOLD_``), it asks for the same pages again a
    moment later: an engine was half as fast, and a learner took half as long again.
    """
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and all that it started take of a machine."""

    rss_mb: float
    """Resident memory in MiB."""
    cpu_s: float
    """User and system seconds since the process began."""


def usage(pids: Iterable[int]) -> dict[int, Usage | None]:
    """What processes and all that they started use; None for a process that is gone.

    All processes are listed once: children that come and go meanwhile cannot make it fail. The time of a child that has
    ended and was waited for is in its parent's.
    """
    found: dict[int, Usage] = {}
    children: dict[int, list[int]] = defaultdict(list)
    for process in psutil.process_iter(["ppid", "memory_info", "cpu_times"]):
        memory, times, parent = (process.info[name] for name in ("memory_info", "cpu_times", "ppid"))
        held = memory.rss / 2**20 if memory else 0.0  # a zombie holds none
        used = times.user + times.system + times.children_user + times.children_system if times else 0.0
        found[process.pid] = Usage(held, used)
        if parent is not None:
            children[parent].append(process.pid)

    def total(pid: int) -> Usage:
        parts = [found[pid], *map(total, children[pid])]
        return Usage(sum(part.rss_mb for part in parts), sum(part.cpu_s for part in parts))

    return {pid: total(pid) if pid in found else None for pid in pids}


def is_stopped(pid: int) -> bool:
    """Whether a process is there and was stopped (SIGSTOP)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


RAY_PROCESSES = ("raylet", "gcs_server")


def driver_cpu_s() -> dict[str, float]:
    """CPU seconds of this process alone, as ``driver``, and as ``ray`` those of the Ray processes that it started.

    What the raylet started, the workers, is not in it. There is no ``ray`` where Ray was here before.
    """
    this = psutil.Process()
    found = {"driver": sum(this.cpu_times()[:2])}
    for child in this.children():
        with suppress(psutil.NoSuchProcess):
            if child.name() in RAY_PROCESSES:
                found["ray"] = found.get("ray", 0.0) + sum(child.cpu_times()[:2])
    return found
