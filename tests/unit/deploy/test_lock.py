"""The lock of the CPU environment against what it is made from, and every place that names a Python."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from deploy.doctor import software
from tests.unit.sources import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(text) for text in (*PROJECT["dependencies"], *EXTRAS["cpu"], *EXTRAS["dev"])]
LOCK = [line for line in software.LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
PINS = software.locked_versions("\n".join(LOCK))
LEFT_OUT = [
    line
    for line in software.LOCK.with_name("lock-left-out.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PYTHONS = [f"{major}.{minor}" for major, minor in software.PYTHONS]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_the_lock_has_what_the_project_asks_for(requirement: Requirement) -> None:
    assert PINS[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_lock_has_nothing_that_is_left_out() -> None:
    assert "torchvision" in LEFT_OUT
    assert not set(LEFT_OUT) & set(PINS)


@pytest.mark.parametrize("name", software.NO_COMPANIONS)
def test_what_the_doctor_refuses_is_left_out(name: str) -> None:
    assert name in LEFT_OUT


def test_each_line_of_the_lock_is_a_pin_for_all_pythons_and_indexes() -> None:
    """No marker, since one list serves all; no index, path or local version, since any index may serve it."""
    odd = [line for line in LOCK if not re.fullmatch(r"[a-z0-9-]+==[0-9][a-z0-9.]*", line)]
    assert odd == []
    assert len(PINS) == len(LOCK), "a package is pinned twice"


def test_one_set_of_pythons_in_all_places() -> None:
    classifiers = [text.rpartition(" :: ")[2] for text in PROJECT["classifiers"] if "Python :: 3" in text]
    choice = (ROOT / "deploy/choose_python.sh").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    supported = SpecifierSet(PROJECT["requires-python"])
    assert [version for version in ("3.10", *PYTHONS, "3.14") if version in supported] == PYTHONS
    assert classifiers == PYTHONS
    assert f"SUPPORTED='{' '.join(reversed(PYTHONS))}'" in choice
    assert f"for python in {' '.join(PYTHONS)}; do" in makefile
