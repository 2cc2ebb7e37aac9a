"""Reports what there is on a node. It is sent there by value, so that a node with another effrl, or none, answers too.

So it uses the standard library alone, with :mod:`actors.machine` sent along, and answers in plain values. Versions are
read from the packages' metadata and build facts from their files: nothing heavy is imported, so that it works where an
engine does not, too.
"""

import fcntl
import os
import pwd
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from hashlib import blake2b
from importlib import metadata, util
from pathlib import Path
from typing import Any

from actors.machine import usable_cores

VISIBLE_S = 10.0
"""How long a file that another node wrote may take to be seen: a network's file system may be late."""
CONNECT_S = 5.0
SMI_S = 20.0
"""A driver that is stuck lets ``nvidia-smi`` wait for ever."""
SAMPLE = 8 << 20
"""Bytes that are written to see how fast a disk is."""
UNLIMITED = -1

GPU_FIELDS = ("uuid", "name", "memory.total", "memory.used", "driver_version", "ecc.errors.uncorrected.volatile.total")
USER_FIELDS = ("gpu_uuid", "pid", "process_name", "used_memory")


class NodeProbe:
    """One look at a node, and the port at which it can be reached afterwards."""

    def __init__(self) -> None:
        self.listener: socket.socket | None = None

    def look(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that is true of this node.

        Args:
            wanted: ``distributions`` and ``packages`` to look for by name, ``folders`` whose disk matters, ``models``
                that are loaded, ``modules`` of the user's own code and their ``search_path``, ``address`` by which
                others know this node, and ``meeting``, a folder in which :func:`visit` leaves a file called ``id``;
                None for no visit.
        """
        self.listener, refused = listen(wanted["address"])
        folders = dict.fromkeys((*wanted["folders"], tempfile.gettempdir()))
        return {
            "hostname": socket.gethostname(),
            "boot": read("/proc/sys/kernel/random/boot_id").strip(),
            "user": os.getuid(),
            "python": list(sys.version_info[:3]),
            "distributions": {name: installed(name) for name in wanted["distributions"]},
            "packages": {name: package_folder(name) for name in wanted["packages"]},
            "source": source(wanted["packages"]),
            "code": code_version(),
            "torch_build": installed_torch_build(),
            "programs": {name: shutil.which(name) for name in ("lscpu", "c++", "g++", "clang++")},
            "preload": os.environ.get("LD_PRELOAD", ""),
            "cores": usable_cores(),
            "load": os.getloadavg()[0],
            **memory(),
            **limits(),
            "disks": {folder: disk(Path(folder)) for folder in folders},
            "gpus": gpus(),
            "address": wanted["address"],
            "port": self.listener.getsockname()[1] if self.listener else None,
            "port_refused": refused,
            "interfaces": [name for _, name in socket.if_nameindex()],
            "gloo_interface": os.environ.get("GLOO_SOCKET_IFNAME"),
            **token(),
            "models": [model for model in wanted["models"] if (Path(model) / "config.json").is_file()],
            "modules": [name for name in wanted["modules"] if has_module(name, wanted["search_path"])],
            "visit": visit(Path(wanted["meeting"]), wanted["id"]) if wanted["meeting"] else None,
        }

    def clock(self) -> float:
        """Seconds since the epoch, as this node believes."""
        return time.time()

    def reach(self, others: Sequence[tuple[str, int]]) -> list[str]:
        """The addresses of others that cannot be reached from here."""
        return [address for address, port in others if not connects(address, port)]


# --- what is installed


def installed(name: str) -> str | None:
    """The version in the metadata of a distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def package_folder(name: str) -> str | None:
    """The folder that ``import name`` would take the package from."""
    spec = util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return str(Path(next(iter(spec.submodule_search_locations))).resolve())


def source(packages: Sequence[str]) -> str:
    """A fingerprint of the code of these packages: nodes of one version may still have other code."""
    digest = blake2b(digest_size=8)
    for folder in filter(None, map(package_folder, packages)):
        for file in sorted(Path(folder).rglob("*.py")):
            digest.update(f"{file.relative_to(Path(folder).parent)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def code_version() -> str | None:
    """``__version__`` of the effrl that would be imported."""
    folder = package_folder("effrl")
    found = re.search(r'^__version__ = "(.+)"', read(f"{folder}/__init__.py"), re.MULTILINE) if folder else None
    return found[1] if found else None


def torch_build(version_file: str) -> str:
    """``CPU``, ``CUDA 13.0`` or ``ROCm 7.0``, from the text of ``torch/version.py``: torch itself is not imported."""
    for name, attribute in (("CUDA", "cuda"), ("ROCm", "hip")):
        match = re.search(rf"^{attribute}\b[^=\n]*=\s*['\"]([^'\"]+)['\"]", version_file, re.MULTILINE)
        if match:
            return f"{name} {match[1]}"
    return "CPU"


def installed_torch_build() -> str | None:
    """The build of the torch that ``import torch`` would find."""
    spec = util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    return torch_build(Path(spec.origin).with_name("version.py").read_text(encoding="utf-8"))


def has_module(name: str, search_path: Sequence[str]) -> bool:
    """Whether a module of the user could be imported here."""
    before, sys.path = sys.path, [*search_path, *sys.path]
    try:
        return util.find_spec(name.partition(".")[0]) is not None
    finally:
        sys.path = before


# --- the machine


def read(path: str) -> str:
    """The text of a file that not every machine has, or lets everyone see; empty where it is not there."""
    with suppress(OSError):
        return Path(path).read_text(encoding="utf-8")
    return ""


def number_after(key: str, text: str) -> int:
    """The number behind ``key`` at the start of a line; 0 where there is none."""
    match = re.search(rf"^{key}:?\s+(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else 0


def memory() -> dict[str, int]:
    """Bytes of memory, swap and shared memory, total and free."""
    info = read("/proc/meminfo")
    swap = number_after("SwapTotal", info) - number_after("SwapFree", info)
    shared = shutil.disk_usage("/dev/shm") if Path("/dev/shm").is_dir() else None
    groups = "/sys/fs/cgroup/memory"
    return {
        "memory_free": free_memory(info, *(read(f"{groups}.{part}") for part in ("max", "current", "stat"))),
        "swap_used": swap * 1024,
        "shm_free": shared.free if shared else 0,
        "shm_total": shared.total if shared else 0,
    }


def free_memory(meminfo: str, limit: str = "", used: str = "", stat: str = "") -> int:
    """Bytes that may still be taken: the kernel's estimate, or less where a container (cgroup v2) has a limit.

    A container's use counts its file cache, which yields at once: right after an install it would seem full.
    """
    free = number_after("MemAvailable", meminfo) * 1024
    if not limit.strip().isdigit() or not used.strip().isdigit():
        return free
    cache = number_after("inactive_file", stat) + number_after("active_file", stat)
    return min(free, int(limit) - int(used) + cache)


def limits() -> dict[str, int]:
    """Open files and processes that are allowed; -1 for no limit.

    Threads count as processes, and a container has a limit of its own for them.
    """
    own, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    group = read("/sys/fs/cgroup/pids.max").strip()
    allowed = [limit for limit in (own, int(group) if group.isdigit() else UNLIMITED) if limit != UNLIMITED]
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {"open_files": files, "processes": min(allowed, default=UNLIMITED)}


def disk(folder: Path) -> dict[str, Any]:
    """Room where a folder is, or would be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    usage, files = shutil.disk_usage(there), os.statvfs(there)
    return {"free": usage.free, "files_free": files.f_favail if files.f_files else None}


def gpus() -> list[dict[str, Any]]:
    """The GPUs that ``nvidia-smi`` lists and who uses them; nothing where there is no driver or it does not answer."""
    listed = smi("gpu", GPU_FIELDS)
    users = smi("compute-apps", USER_FIELDS) if listed else []
    return [
        {
            "name": gpu["name"],
            "memory": amount(gpu["memory.total"]),
            "used": amount(gpu["memory.used"]),
            "driver": gpu["driver_version"],
            "errors": amount(gpu["ecc.errors.uncorrected.volatile.total"]),
            "users": [user_of(use) for use in users if use["gpu_uuid"] == gpu["uuid"]],
        }
        for gpu in listed
    ]


def smi(what: str, fields: Sequence[str]) -> list[dict[str, str]]:
    """The rows of one query."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, f"--query-{what}={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=SMI_S, check=True)
    except (subprocess.SubprocessError, OSError):
        return []
    rows = ([part.strip() for part in line.split(",")] for line in answer.stdout.splitlines() if line.strip())
    return [dict(zip(fields, row, strict=True)) for row in rows if len(row) == len(fields)]


def amount(text: str) -> int | None:
    """A number of ``nvidia-smi``, which is ``[N/A]`` where the GPU does not say it."""
    return int(text) if text.isdigit() else None


def user_of(use: Mapping[str, str]) -> str:
    """``python (alice, process 4711)``; of a process in another container only what the driver knows."""
    owner = ""
    with suppress(OSError, KeyError):
        owner = f"{pwd.getpwuid(Path('/proc', use['pid']).stat().st_uid).pw_name}, "
    return f"{Path(use['process_name']).name} ({owner}process {use['pid']})"


# --- the network


def listen(address: str) -> tuple[socket.socket | None, str]:
    """Take a free port at an address, as ranks that meet do; or say why that cannot be."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.bind((address, 0))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        return None, str(error)
    return listener, ""


def connects(address: str, port: int) -> bool:
    """Whether something listens there and lets us through."""
    with suppress(OSError), closing(socket.create_connection((address, port), CONNECT_S)):
        return True
    return False


def token() -> dict[str, Any]:
    """How Ray authenticates here. The token itself is never told."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser().absolute()
    return {"auth_mode": os.environ.get("RAY_AUTH_MODE"), "token_seen_by_others": seen_by_others(path)}


def seen_by_others(path: Path) -> bool:
    """Whether other users may read a file: the way to it must be open to them as well."""
    try:
        return bool(path.stat().st_mode & 0o044) and all(folder.stat().st_mode & 0o011 for folder in path.parents)
    except OSError:
        return False


# --- shared storage


def visit(meeting: Path, name: str) -> dict[str, Any]:
    """What this node sees of a folder that the driver has made, and what it leaves there.

    The driver has written ``marker`` and holds a lock on it. Each node writes a file of its own.
    """
    marker = meeting / "marker"
    found: dict[str, Any] = {"sees": soon(marker.exists), "locked": None, "wrote": False, "seconds": None, "error": ""}
    if not found["sees"]:
        return found
    began = time.monotonic()
    try:
        with open(meeting / name, "wb") as file:
            file.write(os.urandom(SAMPLE))
            file.flush()
            os.fsync(file.fileno())
        found |= {"wrote": True, "seconds": time.monotonic() - began, "locked": is_locked(marker)}
    except OSError as error:
        found["error"] = str(error)
    return found


def is_locked(file: Path) -> bool:
    """Whether another process holds the lock."""
    with open(file, "rb+") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def soon(happens: Callable[[], bool]) -> bool:
    """Whether something is true within a while."""
    deadline = time.monotonic() + VISIBLE_S
    while not happens():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
