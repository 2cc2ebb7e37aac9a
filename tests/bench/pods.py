"""The pods of a rendered Ray job, on this machine: ``python -m tests.bench.pods MANIFEST OUT``, as root.

Head, worker and submitter are started as their manifest has them: command, environment, user, mounts, a root that can
only be read, and limits of CPU and memory, which are cgroups. Each has a network of its own. What no manifest has is
what KubeRay 1.7 adds: how Ray is started, and how the job is submitted. The image is this project's environment, its
volumes are folders, and no operator watches: the first end of the job is its end. Run it on a machine that does nothing
else: Ray's head has 30 s to start, with its one CPU.

OUT gets what became of the run, and what each pod has used of its limits, as JSON.
"""

import json
import math
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psutil
import yaml

from effrl.run import metrics
from effrl.run.groups import tally
from tests.bench.hosts import NAMESPACES, ROOT, SHARED, SUBNET, UNSHARE, apart, soon

Manifest = Mapping[str, Any]
CGROUPS = Path("/sys/fs/cgroup")
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
BINARIES = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
"""The image's search path."""
PERIOD_US = 100_000
UNPRIVILEGED = ("setpriv", "--clear-groups", "--no-new-privs", "--bounding-set=-all")
PODS = ("head", "worker", "submitter")
MAKE_ROOT = """
set -e
hostname {name}
mount -t tmpfs tmpfs /media
mkdir /media/up /media/work /media/root
mount -t overlay overlay -o lowerdir=/,upperdir=/media/up,workdir=/media/work /media/root
cd /media/root
for kernel in proc sys dev; do mount --rbind /$kernel $kernel; done
for kind in cpu memory; do mount --bind {cgroups}/$kind/{group} .{cgroups}/$kind; done
chmod o+x {image}
{mounts}
mount --bind {shared}/hosts etc/hosts
mount -o remount,bind,ro /media/root
exec chroot . sleep infinity
"""
"""How a pod's first process makes its file system: the machine's as the image, and the volumes of the manifest."""


def amount(quantity: str) -> float:
    """A quantity of Kubernetes, in CPUs or bytes."""
    if quantity.endswith("m"):
        return float(quantity[:-1]) / 1000
    return float(quantity[:-2]) * UNITS[quantity[-2:]] if quantity[-2:] in UNITS else float(quantity)


IMAGE = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "DS_ACCELERATOR": "cpu", "RAY_USAGE_STATS_ENABLED": "0"}
"""The environment of ``deploy/images/cpu.Dockerfile``."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod with one container."""

    name: str
    number: int
    """The last part of its address."""
    spec: Manifest
    first: psutil.Process
    """Its first process, with which all others end."""

    @classmethod
    def start(cls, name: str, number: int, spec: Manifest) -> "Pod":
        """Make its cgroups, its file system and its network."""
        limits = spec["containers"][0]["resources"]["limits"]
        _limit("memory", name, "memory.limit_in_bytes", int(amount(limits["memory"])))
        _limit("cpu", name, "cpu.cfs_period_us", PERIOD_US)
        _limit("cpu", name, "cpu.cfs_quota_us", int(amount(limits["cpu"]) * PERIOD_US))
        mounts = "\n".join(_mounts(name, spec))
        begin = MAKE_ROOT.format(
            name=name, cgroups=CGROUPS, group=f"effrl-{name}", mounts=mounts, shared=SHARED, image=_image()
        )
        above = psutil.Process(subprocess.Popen([*UNSHARE, begin]).pid)
        first = soon(lambda: next(child for child in above.children() if child.name() == "sleep"))
        pod, there, link = cls(name, number, spec, first), str(first.pid), f"pod-{number}"
        for command in (
            ("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", there),
            ("ip", "link", "set", link, "master", "bridge", "up"),
            ("nsenter", "--target", there, "--net", "ip", "addr", "add", f"{pod.address}/24", "dev", "eth0"),
            ("nsenter", "--target", there, "--net", "ip", "link", "set", "lo", "up"),
            ("nsenter", "--target", there, "--net", "ip", "link", "set", "eth0", "up"),
        ):
            subprocess.run(command, check=True)
        return pod

    @property
    def address(self) -> str:
        return f"{SUBNET}.{self.number}"

    def begin(self, command: str, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        """Start the container's command in the pod, as its user; NAME.log gets what it prints."""
        container, user = self.spec["containers"][0], self.spec["securityContext"]
        own = {entry["name"]: entry["value"] for entry in container["env"]}
        variables = [f"{name}={value}" for name, value in {"PATH": BINARIES, **IMAGE, **environment, **own}.items()]
        join = " && ".join(f"echo $$ > {CGROUPS}/{kind}/effrl-{self.name}/cgroup.procs" for kind in ("cpu", "memory"))
        there = ("nsenter", "--target", str(self.first.pid), *NAMESPACES, "--root")
        as_user = (*UNPRIVILEGED, f"--reuid={user['runAsUser']}", f"--regid={user['runAsGroup']}")
        inside = ("/bin/bash", "-c", f"cd {container.get('workingDir', '/')} && {command}")
        line = shlex.join((*there, *as_user, "env", "-i", *variables, *inside))
        with (SHARED / f"{self.name}.log").open("w") as log:
            return subprocess.Popen(["sh", "-c", f"{join} && exec {line}"], stdout=log, stderr=subprocess.STDOUT)

    def used(self) -> dict[str, float]:
        """Of its limits, so far."""
        memory, cpu = (CGROUPS / kind / f"effrl-{self.name}" for kind in ("memory", "cpu"))
        limits = self.spec["containers"][0]["resources"]["limits"]
        killed = (memory / "memory.oom_control").read_text().split()
        throttled = dict(line.split() for line in (cpu / "cpu.stat").read_text().splitlines())
        return {
            "memory_limit_gib": amount(limits["memory"]) / 2**30,
            "memory_peak_gib": round(int((memory / "memory.max_usage_in_bytes").read_text()) / 2**30, 2),
            "oom_kills": int(killed[killed.index("oom_kill") + 1]),
            "cpus": amount(limits["cpu"]),
            "throttled_s": round(int(throttled["throttled_time"]) / 1e9, 1),
        }


def _limit(kind: str, name: str, file: str, value: int) -> None:
    group = CGROUPS / kind / f"effrl-{name}"
    group.mkdir(exist_ok=True)
    (group / file).write_text(str(value))


def _image() -> str:
    """Folders of the interpreter, which the pod's user may not enter on every machine; it may in an image."""
    return " ".join(str(folder).lstrip("/") for folder in Path(sys.executable).resolve().parents[:-1])


def _mounts(name: str, spec: Manifest) -> Iterator[str]:
    """Commands that mount a pod's volumes: in memory, or a folder that is the pod's own, or that all pods share."""
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    user = spec["securityContext"]["runAsUser"]
    for mount in spec["containers"][0]["volumeMounts"]:
        volume, place = volumes[mount["name"]], shlex.quote(mount["mountPath"].lstrip("/"))
        yield f"mkdir -p {place}"
        if (empty := volume.get("emptyDir")) and empty.get("medium") == "Memory":
            yield f"mount -t tmpfs -o size={int(amount(empty['sizeLimit']))},mode=1777 tmpfs {place}"
            continue
        folder = SHARED / (f"{name}-{mount['name']}" if "emptyDir" in volume else mount["name"])
        yield f"mkdir -p {folder} && chown {user} {folder} && mount --bind {folder} {place}"
        if mount.get("readOnly"):
            yield f"mount -o remount,bind,ro {place}"


class Job:
    """A Ray job and its pods: head, one worker and submitter."""

    def __init__(self, manifest: Manifest) -> None:
        self.name, self.spec = manifest["metadata"]["name"], manifest["spec"]
        cluster = self.spec["rayClusterSpec"]
        [self.workers] = cluster["workerGroupSpecs"]
        self.service = f"{self.name}-head-svc.{manifest['metadata']['namespace']}.svc.cluster.local"
        self.groups = {"head": cluster["headGroupSpec"], "worker": self.workers}
        numbered = {name: group["template"]["spec"] for name, group in self.groups.items()}
        (SHARED / "hosts").write_text(f"127.0.0.1 localhost\n{SUBNET}.1 {self.service} head\n{SUBNET}.2 worker\n")
        specs = {**numbered, "submitter": self.spec["submitterPodTemplate"]["spec"]}
        self.pods = {name: Pod.start(name, number, spec) for number, (name, spec) in enumerate(specs.items(), 1)}

    def run(self) -> int:
        """Start Ray on head and worker, submit the job and follow it; its exit code."""
        head, port = self.service, 6379
        self.pods["head"].begin(self._ray("head", "--head"), {"RAY_ADDRESS": f"127.0.0.1:{port}"})
        self.pods["worker"].begin(
            f"until ray health-check --address {head}:{port}; do sleep 1; done; "  # KubeRay's init container
            f"until {self._ray('worker', f'--address={head}:{port}')}; do sleep 5; done",  # a failed pod is replaced
            {"RAY_ADDRESS": f"{head}:{port}"},
        )
        dashboard, job = f"http://{head}:8265", f"{self.name}-1"
        return (
            self.pods["submitter"]
            .begin(
                f"until ray job list --address {dashboard} > /dev/null 2>&1; do sleep 2; done && "
                f"ray job submit --address {dashboard} --no-wait --submission-id {job} -- {self.spec['entrypoint']} && "
                f"ray job logs --address {dashboard} --follow {job} && "
                f'ray job status --address {dashboard} {job} | grep "{job}\' succeeded"',
                {},
            )
            .wait(self.spec["activeDeadlineSeconds"])
        )

    def _ray(self, name: str, *role: str) -> str:
        """KubeRay's command: ``rayStartParams``, and what it makes of the limits."""
        limits = self.pods[name].spec["containers"][0]["resources"]["limits"]
        options = {
            "block": "",
            "memory": str(int(amount(limits["memory"]))),
            "metrics-export-port": "8080",
            "num-cpus": str(math.ceil(amount(limits["cpu"]))),
            **self.groups[name]["rayStartParams"],
        }
        told = (f"--{key}={value}" if value else f"--{key}" for key, value in sorted(options.items()))
        return f"ulimit -n 65536; {shlex.join(('ray', 'start', *role, *told))}"


def inside(path: str) -> int:
    """Run the job, and keep what it came to."""
    manifests = yaml.safe_load_all(Path(path).read_text())
    job = Job(next(each for each in manifests if each["kind"] == "RayJob"))
    began = time.monotonic()
    code = job.run()
    run = SHARED / "runs" / "runs" / job.name
    rows = metrics.read(run / "metrics.jsonl")
    rolled, fates = tally(run / "groups")
    found = {
        "exit_code": code,
        "seconds": round(time.monotonic() - began),
        "steps": rows[-1]["step"] if rows else None,
        "groups": rolled,
        "fates": sum(fates.values()),
        "pods": {name: pod.used() for name, pod in job.pods.items()},
    }
    print(json.dumps(found, indent=1), flush=True)
    (SHARED / "found.json").write_text(json.dumps(found, indent=1) + "\n")
    return code


def main(manifest: Path, out: Path) -> int:
    """Run it in a place of its own; the cgroups go when nothing is in them any more."""
    shared = Path(mkdtemp(prefix="effrl-pods-"))
    shared.chmod(0o755)
    (shared / "config").mkdir()
    shutil.copy(manifest.with_name("effrl.yaml"), shared / "config" / "config.yaml")
    try:
        code = apart("tests.bench.pods", shared, "--inside", str(manifest.resolve()))
    finally:
        for group in (CGROUPS / kind / f"effrl-{name}" for kind in ("cpu", "memory") for name in PODS):
            soon(group.rmdir) if group.exists() else None
    print(f"logs: {shared}")
    if code == 0:
        out.mkdir(parents=True, exist_ok=True)
        shutil.copy(shared / "found.json", out / f"{manifest.parent.name}.json")
    return code


if __name__ == "__main__":
    first, second = sys.argv[1:]
    sys.exit(inside(second) if first == "--inside" else main(Path(first), Path(second)))
