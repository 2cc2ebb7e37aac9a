"""Every test here runs the real thing: Ray, vLLM and DeepSpeed, in a directory of its own.

``effrl`` starts a command as a user does, for what is about its processes: their start, end, death and signals.
``here`` runs one in this process, on engines that the run before has left, for all else: it is the same code from the
command line to the last checkpoint, and takes half the time.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from runs import Command, Here

from tests.bench.engines import SharedEngines


@pytest.fixture
def effrl(tmp_path: Path) -> Iterator[Any]:
    """Start ``effrl`` commands in a new directory; none outlives the test."""
    started: list[Command] = []

    def start(*arguments: str, **environment: str) -> Command:
        started.append(Command(arguments, tmp_path, environment))
        return started[-1]

    yield start
    for command in started:
        if command.process.poll() is None:
            command.kill()


@pytest.fixture(scope="session")
def engines(local_ray: None) -> Iterator[SharedEngines]:
    """Engines that go from run to run; a run that fails ends them, and the next one starts its own."""
    shared = SharedEngines()
    yield shared
    shared.close()


@pytest.fixture
def here(engines: SharedEngines, command_line: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Here:
    """Run an ``effrl`` command that trains or scores, in this process and a new directory: what it prints.

    It has to succeed.
    """
    monkeypatch.setattr("actors.session.ray_session", nullcontext)
    monkeypatch.setattr("actors.cluster.Cluster", engines.lend)

    def run(*arguments: object) -> str:
        code, out, err = command_line(*arguments)
        assert code == 0, f"effrl {arguments}: exit code {code}\n{out}{err}"
        return str(out)

    return run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ray)
            item.add_marker(pytest.mark.timeout(1500))
