"""Which Python ``make`` takes, on machines made of stubs."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.sources import ROOT

TOOLS = ("sh", "make", "cp", "mkdir", "rm", "touch")
STUB = """#!/bin/sh
case "$*" in
  *version_info*) echo {version} ;;
  *ensurepip*) exit {no_venv} ;;
  "-m venv --clear "*) rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; touch "$4/pyvenv.cfg" ;;
esac
"""
SHIM = "#!/bin/sh\nexit 127\n"
"""What pyenv leaves on the path for a Python that is installed and not chosen."""


class Machine:
    """A folder as the whole PATH, and a checkout with an environment to make."""

    def __init__(self, root: Path) -> None:
        self.bin, self.checkout = root / "bin", root / "checkout"
        self.bin.mkdir()
        (self.checkout / "deploy").mkdir(parents=True)
        for name in TOOLS:
            (self.bin / name).symlink_to(shutil.which(name) or pytest.skip(f"{name} is not installed"))
        for name in ("Makefile", "deploy/choose_python.sh"):
            shutil.copy(ROOT / name, self.checkout / name)

    def has(self, version: str, *, venv: bool = True, name: str = "") -> None:
        self.write(name or f"python{version}", STUB.format(version=version, no_venv=int(not venv)))

    def write(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """In the checkout, with nothing of this machine's environment, and nothing of the make that runs the tests."""
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.checkout,
            env={"PATH": str(self.bin)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def chosen(self, given: str = "") -> str:
        answer = self.run("sh", "deploy/choose_python.sh", ".venv", given)
        assert (answer.returncode, answer.stderr) == (0, "")
        return answer.stdout.strip()

    def refused(self, given: str = "") -> str:
        answer = self.run("sh", "deploy/choose_python.sh", ".venv", given)
        assert (answer.returncode, answer.stdout) == (1, "")
        [line] = answer.stderr.splitlines()
        return line

    def make(self, *variables: str) -> str:
        """Make the environment, and nothing in it; what was printed."""
        answer = self.run("make", "--no-print-directory", ".venv/pyvenv.cfg", *variables)
        assert (answer.returncode, answer.stderr) == (0, "")
        return answer.stdout.strip()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# --- the choice


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (("3.11",), "python3.11"),
        (("3.11", "3.12"), "python3.12"),
        (("3.12", "3.13", "3.11"), "python3.13"),
        (("3.9", "3.12", "3.14"), "python3.12"),
    ],
)
def test_the_newest_that_is_supported(machine: Machine, there: tuple[str, ...], chosen: str) -> None:
    for version in there:
        machine.has(version)
    assert machine.chosen() == chosen


def test_a_shim_that_does_not_run_is_passed_over(machine: Machine) -> None:
    machine.write("python3.13", SHIM)
    machine.has("3.11")
    assert machine.chosen() == "python3.11"
    assert "python3.13 does not run" in machine.refused("python3.13")


def test_one_that_makes_no_environments_is_passed_over(machine: Machine) -> None:
    machine.has("3.13", venv=False)
    machine.has("3.11")
    assert machine.chosen() == "python3.11"


def test_a_debian_without_venv_is_told_the_package(machine: Machine) -> None:
    machine.has("3.13", venv=False)
    assert "apt install python3.13-venv" in machine.refused()
    assert "apt install python3.13-venv" in machine.refused("python3.13")


@pytest.mark.parametrize("version", ["3.10", "3.14"])
def test_too_old_or_too_new_is_refused_with_what_is_needed(machine: Machine, version: str) -> None:
    machine.has(version, name="python3")
    machine.has(version)
    assert f"3.11, 3.12 or 3.13 (its lock is made for these) (python3 is {version})" in machine.refused()
    assert f"{version} is Python {version}" in machine.refused(f"python{version}")


def test_no_python_at_all(machine: Machine) -> None:
    assert machine.refused().endswith("install one, or say where it is: make setup PYTHON=/path/to/python3.12")


def test_a_given_python_goes_before_a_newer_one(machine: Machine) -> None:
    machine.has("3.13")
    machine.has("3.12", name="mine")
    assert machine.chosen(str(machine.bin / "mine")) == str(machine.bin / "mine")


# --- the environment


def test_the_environment_is_made_once(machine: Machine) -> None:
    machine.has("3.12")
    assert machine.make() == "setup: .venv with python3.12"
    made = (machine.checkout / ".venv/pyvenv.cfg").stat().st_mtime_ns
    assert machine.make() == ""
    assert (machine.checkout / ".venv/pyvenv.cfg").stat().st_mtime_ns == made


def test_an_environment_stays_when_a_newer_python_arrives(machine: Machine) -> None:
    machine.has("3.11")
    machine.make()
    machine.has("3.13")
    assert machine.make() == ""


def test_an_environment_of_another_python_is_made_anew(machine: Machine) -> None:
    machine.has("3.13")
    machine.has("3.11")
    machine.make()
    assert machine.make("PYTHON=python3.11") == "setup: .venv with python3.11"
    assert machine.make("PYTHON=python3.11") == ""
    assert machine.make() == "", "what was asked for once stays"


@pytest.mark.parametrize("name", ["bin/python", "pyvenv.cfg"])
def test_a_broken_environment_is_made_anew(machine: Machine, name: str) -> None:
    machine.has("3.11")
    machine.make()
    (machine.checkout / ".venv" / name).unlink()
    assert machine.make() == "setup: .venv with python3.11"


def test_an_install_that_was_cut_off_is_made_anew(machine: Machine) -> None:
    machine.has("3.11")
    machine.make()
    (machine.checkout / ".venv/.unfinished").touch()
    assert machine.make() == "setup: .venv with python3.11"
    assert not (machine.checkout / ".venv/.unfinished").exists()
