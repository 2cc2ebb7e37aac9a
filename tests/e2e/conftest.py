"""Every test here runs the real thing: Ray, vLLM and DeepSpeed, in a directory of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runs import Command


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.ray)
            item.add_marker(pytest.mark.timeout(1500))
