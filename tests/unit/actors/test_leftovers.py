"""What killed runs leave in a node's memory is freed by the next run, and what a living one has there is not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from actors.rollout.leftovers import GIVEN_UP_S, hold

HOLDER = """
import sys, time
from pathlib import Path
from actors.rollout.leftovers import hold
folder = Path(sys.argv[1])
held = hold("aaaa", folder)
(folder / "effrl-aaaa-1234.safetensors").write_text("weights")
(folder / "effrl-aaaa-1234.77").write_text("half of them")
print("holds", flush=True)
time.sleep(60)
"""


def living(folder: Path) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"holds\n"
    return process


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_killed_run_is_swept_by_another_and_a_living_one_is_not(tmp_path: Path) -> None:
    process = living(tmp_path)
    os.close(hold("bbbb", tmp_path))
    assert "effrl-aaaa-1234.safetensors" in names(tmp_path) and "effrl-aaaa-1234.77" in names(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    os.close(hold("cccc", tmp_path))
    assert names(tmp_path) == ["effrl-cccc.lock"]


def test_a_resumed_run_sweeps_its_own(tmp_path: Path) -> None:
    process = living(tmp_path)
    process.kill()
    process.wait()
    held = hold("aaaa", tmp_path)
    assert names(tmp_path) == ["effrl-aaaa.lock"]
    (tmp_path / "effrl-aaaa-5678.safetensors").touch()
    second = hold("aaaa", tmp_path)  # the second worker of the node
    assert "effrl-aaaa-5678.safetensors" in names(tmp_path)
    os.close(held), os.close(second)


def test_files_without_a_lock_are_swept_when_they_are_old(tmp_path: Path) -> None:
    for name in ("effrl-dddd-1.safetensors", "effrl-eeee-1.safetensors", "somebody's"):
        (tmp_path / name).touch()
    old = time.time() - GIVEN_UP_S - 60
    os.utime(tmp_path / "effrl-dddd-1.safetensors", (old, old))
    os.close(hold("bbbb", tmp_path))
    assert names(tmp_path) == ["effrl-bbbb.lock", "effrl-eeee-1.safetensors", "somebody's"]
