"""What is stopped is ended at the second look, and nothing else ever is."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from actors.driver.watchdog import Watchdog
from actors.node.actor import NodeActor


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as started:
        yield started
        started.kill()


async def watched(looks: list[set[str]]) -> list[str]:
    """Who is ended, if these are stopped at one look after the other, and then nobody."""
    ended: list[str] = []
    over = asyncio.Event()

    async def stopped() -> set[str]:
        if not looks:
            over.set()
        return looks.pop(0) if looks else set()

    async def end(role: str) -> None:
        ended.append(role)

    watching = asyncio.create_task(Watchdog(stopped, end, lambda line: None, 0.001).watch())
    await over.wait()
    watching.cancel()
    return ended


async def test_who_is_stopped_twice_in_a_row_is_ended() -> None:
    assert await watched([{"a"}, {"a", "b"}, {"c"}, set()]) == ["a"]
    assert await watched([{"a"}, set(), {"a"}, set()]) == [], "a debugger may stop a process for a moment"


def test_a_node_sees_and_ends_what_is_stopped(process: subprocess.Popen[bytes]) -> None:
    node, pids = NodeActor(), {"a": process.pid, "gone": 2**22 + 1}
    assert node.stopped(pids) == []
    os.kill(process.pid, signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    assert node.stopped(pids) == ["a"]
    node.end(process.pid)
    assert process.wait(10) == -signal.SIGKILL
    assert node.stopped(pids) == []
    node.end(2**22 + 1)
