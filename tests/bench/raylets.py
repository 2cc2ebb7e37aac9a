"""Runs over several hosts with a raylet on each: ``python -m tests.bench.raylets OUT [CASE…]``, as root.

The hosts are namespaces of this machine (:mod:`tests.bench.hosts`). All that passes between the parts of a run on two
of them goes through their network, but for what is written into the run directory. OUT gets what each case found, as
JSON; the exit code is 1 where a case did not go as its docstring says.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psutil

from effrl.models import TINY
from effrl.run import metrics
from effrl.run.groups import tally
from tests.bench.hosts import SHARED, Host, apart

SETTINGS = (
    "rollout.prompts=16",
    "rollout.per_prompt=4",
    "rollout.kv_cache_gb=0.25",
    "data.eval=tasks:chain?split=dev&size=16",
    "eval.every=100",
    "run.save_every=1",
    "cluster.start_s=900",
    "cluster.wait_s=600",
)
"""A short quickstart, which may be started on a busy machine."""
HEAD, STORE_MB = "10.77.0.1:6379", 300
CPUS = 2
"""Of the head; each other host says that it has twice as many."""
RUN_S = 1500.0
PATIENT = ("RAY_raylet_start_wait_time_s=300", "RAY_worker_niceness=0")
"""A raylet may take its time to start, and its workers are as urgent as itself."""
WORKERS = re.compile(r"^ray::(RolloutWorker|LearnerRank)\b", re.MULTILINE)
DIGESTS = "cd $1 && sha256sum *"
Found = dict[str, Any]


class Raylets:
    """A Ray cluster of hosts; the first is its head, and where runs are started."""

    def __init__(self) -> None:
        self.hosts: dict[int, Host] = {}
        self.have(1)

    def have(self, *numbers: int) -> None:
        """Have these hosts join, where they have not yet."""
        new = {*numbers} - self.hosts.keys()
        self.hosts |= {number: Host.start(number) for number in new}
        starting = {number: self._join(number) for number in new}
        for number, process in starting.items():
            assert process.wait(RUN_S) == 0, f"no raylet on host {number}:\n{_log(number).read_text()}"

    def _join(self, number: int) -> "subprocess.Popen[str]":
        host = self.hosts[number]
        role = ("--head", "--include-dashboard=false") if number == 1 else (f"--address={HEAD}",)
        size = (
            f"--num-cpus={CPUS if number == 1 else 2 * CPUS}",
            f"--object-store-memory={STORE_MB * 2**20}",
            f"--node-ip-address={host.address}",
        )
        ray = str(Path(sys.executable).with_name("ray"))
        with _log(number).open("w") as log:  # what it starts keeps its output open
            command = ("env", *PATIENT, ray, "start", *role, *size, "--disable-usage-stats")
            return host.begin(*command, stdout=log, stderr=subprocess.STDOUT)

    def crash(self, number: int) -> None:
        """Lose a host with all that runs there; who was connected with it notices."""
        self.hosts.pop(number).crash()

    def unplug(self, number: int) -> None:
        """Lose the way to a host: nobody is told, and nothing that is sent there arrives."""
        self.hosts.pop(number).unplug()

    def effrl(self, run: str, *arguments: str) -> "Running":
        """Start a command as a user does on the head."""
        out = (SHARED / f"{run}.txt").open("a")
        command = ("env", f"RAY_ADDRESS={HEAD}", sys.executable, "-m", "effrl", *arguments)
        process = self.hosts[1].begin(*command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        return Running(SHARED / run, process)

    def train(self, run: str, *settings: str) -> "Running":
        """Start a run, whose directory all hosts share."""
        return self.effrl(run, "train", "quickstart", *SETTINGS, f"run.dir={SHARED / run}", *settings)

    def workers(self) -> dict[str, list[str]]:
        """Rollout workers and learner ranks of all runs, by host."""
        return {
            f"host-{number}": sorted(WORKERS.findall(host.read("ps", "-eo", "args")))
            for number, host in self.hosts.items()
        }

    def files(self) -> dict[str, list[str]]:
        """What has a name in each host's /dev/shm."""
        return {f"host-{number}": host.read("ls", "-A", "/dev/shm").split() for number, host in self.hosts.items()}

    def megabytes(self) -> dict[str, float]:
        """What has passed to each host over its network so far."""
        counters = psutil.net_io_counters(pernic=True)
        return {f"host-{number}": round(counters[f"to-{number}"].bytes_sent / 1e6, 1) for number in self.hosts}


def _log(number: int) -> Path:
    return SHARED / f"raylet-{number}.log"


@dataclass
class Running:
    """A command, and the run that it is about."""

    path: Path
    process: "subprocess.Popen[str]"

    @property
    def rows(self) -> list[metrics.MetricsRow]:
        return metrics.read(self.path / "metrics.jsonl")

    @property
    def step(self) -> int:
        """The last that was committed; -1 before the first row."""
        rows = self.rows
        return int(rows[-1]["step"]) if rows else -1

    def until(self, step: int) -> None:
        """Wait for the commit of a step."""
        self._wait(lambda: self.process.poll() is not None or self.step >= step)
        assert self.step >= step, f"{self.path.name} ended before step {step}:\n{self.said}"

    def seconds_to(self, step: int) -> int:
        """How long the commit of a step takes from now."""
        began = time.monotonic()
        self.until(step)
        return round(time.monotonic() - began)

    def end(self) -> int:
        """Exit code."""
        self._wait(lambda: self.process.poll() is not None)
        return self.process.wait()

    def kill(self) -> None:
        """As the kernel does where memory runs out: of the command alone, not of what it has started."""
        [command] = psutil.Process(self.process.pid).children()
        command.send_signal(signal.SIGKILL)
        self.process.wait()

    def _wait(self, over: Callable[[], bool]) -> None:
        deadline = time.monotonic() + RUN_S
        while not over():
            assert time.monotonic() < deadline, f"{self.path.name} hangs:\n{self.said}"
            time.sleep(0.1)

    @property
    def said(self) -> str:
        return self.path.with_suffix(".txt").read_text()

    def found(self, code: int) -> Found:
        """What it has measured."""
        rows = self.rows
        steps = [row for row in rows if "sync/verified" in row]
        rolled, fates = tally(self.path / "groups")
        return {
            "exit_code": code,
            "steps": self.step,
            "verified": [row["sync/verified"] for row in steps],
            "bytes": [row["sync/bytes"] for row in steps],
            "publish_s": [round(row["time/publish_s"], 2) for row in steps],
            "groups": rolled,
            "fates": sum(fates.values()),
            "said": self.said.splitlines()[1:],
        }


def whole(found: Found, steps: int) -> bool:
    """Whether a run came to its end, and each version was proven to be served on every host."""
    return found["exit_code"] == 0 and found["verified"] == [True] * steps and found["groups"] == found["fates"]


def two(raylets: Raylets) -> tuple[bool, Found]:
    """A run over two hosts: an engine and a learner rank on each."""
    raylets.have(2)
    before = raylets.megabytes()
    run = raylets.train("two", "cluster.nodes=2", "run.steps=3")
    run.until(2)
    workers = raylets.workers()
    found = run.found(run.end())
    sent = {host: round(now - before[host], 1) for host, now in raylets.megabytes().items()}
    good = whole(found, 3) and all(kinds == ["LearnerRank", "RolloutWorker"] for kinds in workers.values())
    return good, {**found, "workers": workers, "megabytes_to": sent, "files_in_shm": raylets.files()}


def beside(raylets: Raylets) -> tuple[bool, Found]:
    """Two runs on the same two hosts. One is killed; the other makes the numbers of a run alone (case ``two``)."""
    raylets.have(2)
    before = raylets.files()
    other = raylets.train("killed", "cluster.nodes=2", "run.steps=100", "run.seed=2")
    run = raylets.train("beside", "cluster.nodes=2", "run.steps=3")
    run.until(1)
    other.until(1)
    workers = raylets.workers()
    other.kill()
    found = run.found(run.end())
    time.sleep(5)
    left = {"workers": raylets.workers(), "files_in_shm": raylets.files()}
    same = [numbers(row) for row in run.rows] == [numbers(row) for row in Running(SHARED / "two", run.process).rows]
    good = whole(found, 3) and same and left == {"workers": {host: [] for host in before}, "files_in_shm": before}
    return good, {**found, "workers_of_both": workers, "same_numbers_as_alone": same, "left": left}


def numbers(row: metrics.MetricsRow) -> metrics.MetricsRow:
    """What must repeat: everything but times and memory."""
    return {name: value for name, value in row.items() if not name.startswith(("time/", "memory/", "cpu/"))}


def shipped(raylets: Raylets) -> tuple[bool, Found]:
    """A run over two hosts with a model that is on the head's own disk: the other one gets it, and keeps it."""
    raylets.have(2)
    place = Path("/tmp/policy")
    raylets.hosts[1].read("cp", "-r", str(TINY), str(place))
    run = raylets.train("shipped", "cluster.nodes=2", "run.steps=2", f"model.path={place}")
    found = run.found(run.end())
    digests = {
        f"host-{number}": host.read("sh", "-c", DIGESTS, "sh", str(place)) for number, host in raylets.hosts.items()
    }
    same = len(set(digests.values())) == 1
    sent = any("model sent to 1 node(s)" in line for line in found["said"])
    return whole(found, 2) and same and sent, {**found, "same_files_on_both": same}


def three(raylets: Raylets) -> tuple[bool, Found]:
    """A run over three hosts."""
    raylets.have(2, 3)
    run = raylets.train("three", "cluster.nodes=3", "run.steps=3")
    run.until(2)
    workers = raylets.workers()
    found = run.found(run.end())
    return whole(found, 3) and all(workers.values()), {**found, "workers": workers}


def moved(raylets: Raylets) -> tuple[bool, Found]:
    """The driver is on the head, the workers on another host, which crashes, then on a third, which is unplugged.

    They move from the second to the third, which has joined meanwhile. Then nobody has room: the run ends and says so,
    and a resume that asks for less goes on, on the head.
    """
    raylets.have(2)
    run = raylets.train("moved", "run.steps=4", *(f"cluster.{role}.cpus={CPUS}" for role in ("rollout", "learner")))
    run.until(1)
    places = [raylets.workers()]
    raylets.have(3)
    raylets.crash(2)
    seconds = [run.seconds_to(run.step + 1)]
    places.append(raylets.workers())
    raylets.unplug(3)
    lost = time.monotonic()
    ended = run.found(run.end())
    seconds.append(round(time.monotonic() - lost))
    less = [f"cluster.{role}.cpus=0.5" for role in ("rollout", "learner")]
    again = raylets.effrl("moved", "resume", str(run.path), *less)
    found = again.found(again.end())
    good = ended["exit_code"] == 1 and whole(found, 4) and bool(places[0]["host-2"]) and bool(places[1]["host-3"])
    return good, {**found, "workers": places, "seconds_to_a_new_step_and_to_the_end": seconds, "ended": ended}


CASES = (two, beside, shipped, three, moved)


def inside(names: list[str]) -> int:
    """All cases that are asked for, on one cluster."""
    raylets, failed = Raylets(), 0
    for case in [case for case in CASES if case.__name__ in names or not names]:
        began = time.monotonic()
        good, found = case(raylets)
        failed |= not good
        print(f"{case.__name__}: {'as expected' if good else 'NOT AS EXPECTED'}", flush=True)
        told = {"case": case.__doc__, "good": good, "seconds": round(time.monotonic() - began), **found}
        (SHARED / f"{case.__name__}.json").write_text(json.dumps(told, indent=1) + "\n")
    return failed


def main(out: Path, names: list[str]) -> int:
    """Run the cases in a place of their own, and keep what they found."""
    out.mkdir(parents=True, exist_ok=True)
    shared = Path(mkdtemp(prefix="effrl-raylets-"))
    code = apart("tests.bench.raylets", shared, "--inside", *names)
    for path in shared.glob("*.json"):
        shutil.copy(path, out)
    if code:
        print(f"the runs and their logs: {shared}")
    else:
        shutil.rmtree(shared)
    return code


if __name__ == "__main__":
    first, *others = sys.argv[1:]
    sys.exit(inside(others) if first == "--inside" else main(Path(first), others))
