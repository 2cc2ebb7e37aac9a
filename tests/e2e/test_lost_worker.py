"""A worker that dies, and one that hangs: the run ends with its name, leaves nothing behind, and can go on."""

import re
import signal
from pathlib import Path
from typing import Any

import pytest
from runs import SMALL, START_S, STEP_S, Command, rows

from effrl.run.groups import tally


def send(command: Command, role: str, number: signal.Signals) -> None:
    """A signal to the process of one of a command's actors, which Ray titles with the actor's class."""
    [process, *_] = [found for found in command.processes() if f"ray::{role}" in " ".join(found.cmdline())]
    process.send_signal(number)


def test_a_hanging_worker_ends_the_run_by_name(effrl: Any, tmp_path: Path) -> None:
    """One of two ranks: the other waits for it in vain."""
    run = tmp_path / "runs" / "quickstart"
    two = ("cluster.rollout.per_node=2", "cluster.learner.per_node=2")
    command = effrl("train", "quickstart", *SMALL, *two, "run.steps=500", "cluster.wait_s=40")
    command.until(lambda: len(rows(run)) >= 3, START_S, "the second step")
    hang(command)
    assert "rollout 2 worker(s)" in command.output() and "learner 2 rank(s)" in command.output()
    assert all(row["sync/verified"] is True for row in rows(run)[1:3])


@pytest.mark.slow  # three starts
def test_a_dead_and_a_hanging_worker_lose_no_group(effrl: Any, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "quickstart"
    first = effrl("train", "quickstart", *SMALL, "run.steps=500")
    first.until(lambda: len(rows(run)) >= 3, START_S, "the second step")
    send(first, "RolloutWorker", signal.SIGKILL)
    assert first.end(STEP_S) == 1
    assert "rollout-0 died during" in first.output() and "go on: effrl resume" in first.output()
    assert first.orphans() == []

    done = len(rows(run))
    second = effrl("resume", str(run), "cluster.wait_s=40")
    second.until(lambda: len(rows(run)) > done, START_S, "another step")
    hang(second)

    last = rows(run)[-1]["step"] + 1
    third = effrl("resume", str(run), f"run.steps={last}")
    assert third.end() == 0, third.output()
    assert [row["step"] for row in rows(run)] == list(range(last + 1))
    rolled, fates = tally(run / "groups")
    assert rolled == sum(fates.values()), "every group has one fate, those of the lost steps too"


def hang(command: Command) -> None:
    send(command, "LearnerRank", signal.SIGSTOP)
    assert command.end(40 + STEP_S) == 1
    assert re.search(r"waited 40 s in vain for .+ of learner-\d", command.output())
    assert command.orphans() == [], "a process that is stopped is killed like any other"
