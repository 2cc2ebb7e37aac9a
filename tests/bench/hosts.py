"""Hosts on one machine: each has its own network, hostname, processes, /tmp, /dev/shm and disk, and all share a folder.

They are namespaces of Linux, so that a cluster of several raylets is what it is between machines: nothing passes from
one host to another but over its network, a bridge without a way out, and through the shared folder, as over NFS. Needs
root and ``unshare``, ``nsenter``, ``setpriv`` and ``ip``. The kernel ends everything with the process that began it:
there is nothing to clean up, whichever of them is killed.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path("/mnt")
"""Where every host sees the folder that all share."""
OWN = ("/tmp", "/var/tmp", "/dev/shm")
"""What is a host's own, in memory. All other disk can only be read, and is the same everywhere, as an image is."""
CACHE = Path.home() / ".cache" / "vllm"
"""What vLLM has found out about its models, which takes it a process of its own: hosts begin with it, as images do."""
HOME = "/tmp/home-of-host"
"""On no machine's own /tmp, or a host would be taken for ready that has not mounted its own yet."""
SUBNET = "10.77.0"
NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid")
UNSHARE = ("unshare", *NAMESPACES, "--fork", "--kill-child", "--mount-proc", "sh", "-c")
WITH_US = ("setpriv", "--pdeathsig", "KILL")
START_S = 30.0


def apart(module: str, shared: Path, *arguments: str) -> int:
    """Run a module of this project as the first process of a place of its own, where it may start hosts.

    Args:
        shared: a folder; in there it is :data:`SHARED`.

    Returns:
        Its exit code. Everything that it started is gone then.
    """
    network = "ip link set lo up && ip link add bridge type bridge && ip link set bridge up"
    begin = f'mount --bind "$1" {SHARED} && {network} && shift && exec "$@"'
    command = (sys.executable, "-m", module, *arguments)
    return subprocess.call([*WITH_US, *UNSHARE, begin, "sh", str(shared), *command], cwd=ROOT)


@dataclass(frozen=True, slots=True)
class Host:
    """One host, which is there until the end, or until it crashes."""

    number: int
    first: psutil.Process
    """Its first process, with which all others end."""

    @classmethod
    def start(cls, number: int) -> "Host":
        """A host by its number, from 1 to 250."""
        own = " && ".join(f"mount -t tmpfs tmpfs {place}" for place in OWN)
        begin = f"hostname host-{number} && mount -o remount,bind,ro / && {own} && mkdir {HOME} && exec sleep infinity"
        above = psutil.Process(subprocess.Popen([*UNSHARE, begin]).pid)
        host = cls(number, soon(lambda: above.children()[0]))
        home = Path(f"/proc/{host.first.pid}/root{HOME}")
        soon(home.stat)
        if CACHE.exists():
            shutil.copytree(CACHE, home / ".cache" / "vllm")
        link, there = f"to-{number}", str(host.first.pid)
        subprocess.run(["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", there], check=True)
        subprocess.run(["ip", "link", "set", link, "master", "bridge", "up"], check=True)
        host.read("ip", "addr", "add", f"{host.address}/24", "dev", "eth0")
        for name in ("lo", "eth0"):
            host.read("ip", "link", "set", name, "up")
        return host

    @property
    def address(self) -> str:
        """On the network of all hosts."""
        return f"{SUBNET}.{self.number}"

    def begin(self, *command: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a command there, in the shared folder."""
        return subprocess.Popen(self._there(command), text=True, env=_environment(), **options)

    def read(self, *command: str) -> str:
        """What a command prints there.

        Raises:
            CalledProcessError: it failed.
        """
        run = subprocess.run(self._there(command), text=True, env=_environment(), stdout=subprocess.PIPE, check=True)
        return run.stdout

    def crash(self) -> None:
        """Kill all that runs there at once. Connections to it are closed."""
        self.first.kill()

    def unplug(self) -> None:
        """Take its network away. Connections to it stay open, and nobody answers."""
        subprocess.run(["ip", "link", "delete", f"to-{self.number}"], check=True)

    def _there(self, command: tuple[str, ...]) -> list[str]:
        return ["nsenter", "--target", str(self.first.pid), *NAMESPACES, f"--wdns={SHARED}", *command]


def _environment() -> dict[str, str]:
    """The packages that run are this project's; what they cache is the host's own."""
    return {**os.environ, "HOME": HOME, "PYTHONPATH": str(ROOT)}


def soon(found: Callable[[], Any]) -> Any:
    """What can be had in a moment."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            return found()
        except (OSError, IndexError, StopIteration):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
