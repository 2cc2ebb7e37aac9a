"""Real runs through the command line, and how to look into them."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from actors.driver.labelling import TimedLabeller
from effrl.run import metrics
from effrl.types import Judged, ReadGroup, Step, View

SMALL = (
    "rollout.prompts=8",
    "rollout.per_prompt=4",
    "rollout.max_tokens=60",
    "rollout.refill=0.5",
    "rollout.kv_cache_gb=0.25",
    "data.train=tasks:chain?size=64",
    "data.eval=tasks:chain?split=dev&size=8",
    "eval.every=100",
    "run.save_every=1",
    "cluster.wait_s=300",  # what hangs is named by the run itself
)
START_S, STEP_S = 240.0, 120.0
Here = Callable[..., str]
"""Runs an ``effrl`` command in this process, see ``conftest.py``."""
EFFRL = str(Path(sys.executable).with_name("effrl"))


@dataclass
class Command:
    """A running ``effrl`` command, with everything that it starts."""

    arguments: Sequence[str]
    cwd: Path
    environment: dict[str, str] = field(default_factory=dict)
    program: Sequence[str] = (EFFRL,)

    def __post_init__(self) -> None:
        self.out = self.cwd / f"output-{time.monotonic_ns()}.txt"
        self.mark = f"{self.cwd}/{time.monotonic_ns()}"
        environment = {**os.environ, **self.environment, "EFFRL_TEST_MARK": self.mark}
        self.process = subprocess.Popen(
            [*self.program, *self.arguments],
            cwd=self.cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self.out.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def end(self, seconds: float = START_S + STEP_S) -> int:
        """Exit code; a command that does not end in time is killed and fails the test."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"effrl {self.arguments} did not end in {seconds} s:\n{self.output()}") from None

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait, and fail if the command ends or the time is over before the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"ended before {what}:\n{self.output()}"
            assert time.monotonic() < deadline, f"no {what} in {seconds} s:\n{self.output()}"
            time.sleep(0.005)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def output(self) -> str:
        return self.out.read_text()

    def orphans(self, seconds: float = 30.0) -> list[str]:
        """Processes that this command started, directly or not, and that are still there after ``seconds``."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.5)
        return [str(process) for process in left]

    def named_memory(self) -> set[str]:
        """What these processes share in memory under a name, which would outlive them: Ray's store has none."""
        maps = [Path(f"/proc/{process.pid}/maps").read_text() for process in self.processes()]
        found = {line.partition("/dev/shm/")[2] for text in maps for line in text.splitlines() if "/dev/shm/" in line}
        return {name for name in found if not name.endswith("(deleted)")}

    def processes(self) -> list[psutil.Process]:
        """What this command started, directly or not, and what still lives."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("EFFRL_TEST_MARK") == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found


def rows(run: Path) -> list[dict[str, Any]]:
    return metrics.read(run / "metrics.jsonl")


def groups(run: Path, step: int) -> list[dict[str, Any]]:
    text = (run / "groups" / f"step_{step:06d}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def deterministic(row: dict[str, Any]) -> dict[str, Any]:
    """What must repeat: everything but times and memory."""
    return {key: value for key, value in row.items() if not key.startswith(("time/", "memory/", "cpu/"))}


def assert_same(expected: Sequence[dict[str, Any]], actual: Sequence[dict[str, Any]], whole: Path, run: Path) -> None:
    """Six steps of two runs, of which these are the rows, measured and drew the same."""
    assert [row["step"] for row in actual] == list(range(7))
    for one, other in zip(expected, actual, strict=True):
        assert deterministic(one) == deterministic(other)
    for step in range(1, 7):
        assert [entry["prompt_id"] for entry in groups(run, step)] == [
            entry["prompt_id"] for entry in groups(whole, step)
        ]


def copy_when_bought(monkeypatch: pytest.MonkeyPatch, run: Path, copy: Path, step: int) -> None:
    """Copy the run directory once a step has bought its labels: what a kill at that moment leaves."""
    assign = TimedLabeller.assign

    async def assign_then_copy(
        labeller: TimedLabeller, now: Step, read: Sequence[ReadGroup], views: Sequence[View]
    ) -> Sequence[Judged]:
        judged = await assign(labeller, now, read, views)
        if now.number == step:
            copy_once(run, copy)
        return judged

    monkeypatch.setattr(TimedLabeller, "assign", assign_then_copy)


def copy_once(run: Path, copy: Path) -> None:
    if not copy.exists():
        shutil.copytree(run, copy)


def purchases(run: Path) -> list[tuple[Any, ...]]:
    """Every line of a run's ledger that is a purchase: query, prompt, step, state, cost and answer."""
    with closing(sqlite3.connect(run / "ledger.sqlite")) as connection:
        query = "select query_id, prompt_id, step, state, cost, answer from purchases order by query_id"
        return connection.execute(query).fetchall()
