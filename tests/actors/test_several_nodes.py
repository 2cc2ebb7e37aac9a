"""On a Ray of several nodes each role is where its labels say, and stays there when a node is lost."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from actors.session import RAY_STARTS

PROGRAM = Path(__file__).with_name("several_nodes.py")
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """It has a folder of its own besides the run's: a Ray makes itself known in that, for others to connect to, and its
    sockets bear no long path."""
    folder = tmp_path_factory.mktemp("several_nodes")
    with TemporaryDirectory(prefix="ray-") as own:
        yield report({"RAY_TMPDIR": own, "XDG_CACHE_HOME": str(folder / "cache")}, folder)


def report(variables: dict[str, str], folder: Path) -> dict[str, Any]:
    environment = {**os.environ, **variables, "RAY_raylet_start_wait_time_s": "90"}
    for _ in range(RAY_STARTS):
        done = subprocess.run([sys.executable, PROGRAM, folder], capture_output=True, text=True, env=environment)
        if "timed out during startup" not in done.stderr:  # a raylet gives up after 15 s on a busy machine
            break
    assert done.returncode == 0, done.stdout + done.stderr
    lines: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return lines


def test_workers_are_on_the_nodes_that_their_labels_say(found: dict[str, Any]) -> None:
    assert found["pools"] == {"rollout-0": "spot", "learner-0": "keep"}


def test_a_label_that_no_node_has_is_one_line(found: dict[str, Any]) -> None:
    line = found["no such label"]
    assert "(rollout) need 0.5 CPUs and 0 GPUs on 1 node(s) with pool=cheap, but 0 node(s) can hold them" in line
    assert "1 CPUs, 0 GPUs, pool=spot" in line and "0 CPUs, 0 GPUs, no pool" in line and "\n" not in line


def test_roles_that_fit_one_by_one_but_not_together_are_told(found: dict[str, Any]) -> None:
    line = found["both on one node"]
    assert "0.4 CPUs, 0 GPUs, pool=keep" in line and "of this run has its room already" in line and "\n" not in line


def test_a_second_run_does_not_get_the_room_of_the_first(found: dict[str, Any]) -> None:
    line = found["a second run"]
    assert "in use" in line and "0.4 CPUs, 0 GPUs, pool=spot" in line and "of this run" not in line


def test_a_replacement_is_on_a_new_node_with_the_label(found: dict[str, Any]) -> None:
    """Its node is gone, and what is known of processes by their node must follow it."""
    assert found["pools after a loss"] == found["pools"]
    assert {"rollout-0", "learner-0"} <= set(found["usage after a loss"])
