"""What a node offers any run: memory, disk, limits, programs, and GPUs."""

import re
from collections.abc import Iterator

from deploy.doctor.facts import NodeFacts
from deploy.doctor.finding import GIB, Finding, gib, must, should

SHM_NEEDED = GIB // 2
"""Ray's objects and the weights on their way to vLLM lie there; containers often have 64 MiB."""
MEMORY_NEEDED = 4 * GIB
"""One engine, one learner rank and Ray, with the tiny model."""
DISK_NEEDED = 2 * GIB
"""Checkpoints and logs of a small run; Ray itself complains on a disk that is nearly full."""
DISK_FILES = 10_000
"""Ray's session alone makes hundreds of logs and sockets."""
SWAP_USED = GIB
OPEN_FILES, OPEN_FILES_ADVISED = 1024, 8192
"""Each worker of a cluster is a connection or more to every other process of Ray."""
PROCESSES = 4096
"""Threads count: one engine, one rank and Ray have some hundreds."""
BUSY = 1.5
"""Processes that want to compute, for each core: beyond that runs wait for others."""
GPU_USED = 0.05
"""Of its memory; a display takes less."""
TCMALLOC = "tcmalloc"


def check_memory(facts: NodeFacts) -> Iterator[Finding]:
    """Memory that new processes may still take, and whether some was pushed out already."""
    remedy = "close other programs, or give the container more memory"
    free = facts.memory_free
    yield must("memory", free >= MEMORY_NEEDED, f"{gib(free)} free", f"{gib(MEMORY_NEEDED)} free", remedy)
    remedy = "close what was swapped out: a rank that waits for the disk holds up all others"
    swap = facts.swap_used
    yield should("swap", swap < SWAP_USED, f"{gib(swap)} in use", f"less than {gib(SWAP_USED)} in use", remedy)


def check_shm(facts: NodeFacts) -> Iterator[Finding]:
    """Shared memory."""
    remedy = "remove what is left in /dev/shm, or give a container more: docker run --shm-size=2g"
    found = f"{gib(facts.shm_free)} free of {gib(facts.shm_total)}"
    yield must("/dev/shm", facts.shm_free >= SHM_NEEDED, found, f"{gib(SHM_NEEDED)} free", remedy)


def check_disks(facts: NodeFacts) -> Iterator[Finding]:
    """Disk space where a run or Ray writes."""
    for folder, disk in facts.disks.items():
        files = disk.files_free is None or disk.files_free >= DISK_FILES
        found = f"{gib(disk.free)} free" if files else f"{gib(disk.free)} and {disk.files_free} files free"
        remedy = f"make room on the disk of {folder}"
        expected = f"{gib(DISK_NEEDED)} free" if files else f"{DISK_FILES:,} files free"
        yield must(f"disk of {folder}", files and disk.free >= DISK_NEEDED, found, expected, remedy)


def check_limits(facts: NodeFacts) -> Iterator[Finding]:
    """What the system allows a user."""
    files, processes = facts.open_files, facts.processes
    remedy = "ulimit -n 65536 before `ray start` (or LimitNOFILE=65536 of its service)"
    expected = f"{OPEN_FILES_ADVISED:,}"
    judge = must if 0 <= files <= OPEN_FILES else should
    yield judge("open files", files < 0 or files >= OPEN_FILES_ADVISED, _limit(files), expected, remedy)
    remedy = "ulimit -u unlimited before `ray start`, or raise the container's limit of processes (pids.max)"
    yield must("processes", processes < 0 or processes >= PROCESSES, _limit(processes), f"{PROCESSES:,}", remedy)


def check_load(facts: NodeFacts) -> Iterator[Finding]:
    """Whether others keep the cores busy."""
    found = f"{facts.load:.1f} on {facts.cores} core(s)"
    remedy = "wait until what else computes there has ended: the slowest node sets the pace of a step"
    expected = f"at most {BUSY * facts.cores:.0f}"
    yield should("load", facts.load <= BUSY * facts.cores, found, expected, remedy)


def check_programs(facts: NodeFacts) -> Iterator[Finding]:
    """vLLM on a CPU asks ``lscpu`` for the cores; on a GPU, DeepSpeed's fused optimizers want a compiler."""
    found = facts.programs["lscpu"]
    yield must("lscpu", found is not None, found or "missing", "present", "install the package util-linux")
    compiler = next((name for name in ("c++", "g++", "clang++") if facts.programs[name]), None)
    yield Finding("C++ compiler", "ok", compiler or "none (not needed on a CPU)")


def check_tcmalloc(facts: NodeFacts) -> Iterator[Finding]:
    """Good to know: Debian's libtcmalloc-minimal4 in LD_PRELOAD, which vLLM recommends on a CPU."""
    found = next((entry for entry in re.split(r"[:\s]+", facts.preload) if TCMALLOC in entry), None)
    yield Finding("tcmalloc", "ok", found or "not preloaded (optional: libtcmalloc-minimal4 in LD_PRELOAD)")


def check_gpus(facts: NodeFacts) -> Iterator[Finding]:
    """Good to know of an installation for CPUs, needed by one for CUDA."""
    found = ", ".join(gpu.name for gpu in facts.gpus) or "none"
    if facts.on_cpu:
        yield Finding("GPUs", "ok", f"{found} (this is the CPU build)")
    else:
        yield must(
            "GPUs", bool(facts.gpus), found, "at least one", "check nvidia-smi, or install the cpu extra instead"
        )


def check_gpu_users(facts: NodeFacts) -> Iterator[Finding]:
    """Who computes on the GPUs, and what memory they hold: an engine that finds too little of it does not start."""
    if not facts.gpus:
        return
    used = [f"GPU {number}: {', '.join(gpu.users)}" for number, gpu in enumerate(facts.gpus) if gpu.users]
    used += [
        f"GPU {number}: {gpu.used:,} MiB of nobody that can be seen"
        for number, gpu in enumerate(facts.gpus)
        if not gpu.users and gpu.used is not None and gpu.memory and gpu.used > GPU_USED * gpu.memory
    ]
    remedy = "wait until they have ended, or stop them; another container's processes show on its host alone"
    yield should("GPU users", not used, "; ".join(used) or "nobody", "nobody", remedy)


def check_gpu_errors(facts: NodeFacts) -> Iterator[Finding]:
    """Memory that has lost bits: what was computed with it may be wrong."""
    if facts.gpus:
        wrong = [f"GPU {number}: {gpu.errors}" for number, gpu in enumerate(facts.gpus) if gpu.errors]
        remedy = "drain the node and reset or replace the GPU (nvidia-smi -q -d ECC)"
        yield must("GPU memory errors", not wrong, "; ".join(wrong) or "none", "none", remedy)


def _limit(number: int) -> str:
    return "unlimited" if number < 0 else f"{number:,}"
