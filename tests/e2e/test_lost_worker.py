"""A learner rank that hangs, and one that dies: the run goes on by itself, and leaves nothing behind."""

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


@pytest.mark.parametrize(
    "number", [signal.SIGSTOP, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)], ids=["hangs", "dies"]
)
def test_a_lost_rank_costs_the_steps_since_the_last_checkpoint(
    number: signal.Signals, effrl: Any, tmp_path: Path
) -> None:
    """One of two ranks: the other waits for it in vain. The engine stays."""
    run = tmp_path / "runs" / "quickstart"
    command = effrl("train", "quickstart", *SMALL, "cluster.learner.per_node=2", "run.steps=4", "run.save_every=2")
    command.until(lambda: len(rows(run)) >= 3, START_S, "the second step")
    send(command, "LearnerRank", number)
    assert command.end(START_S + STEP_S) == 0, command.output()
    said = " ".join(command.output().split())
    assert "died during" in said and "going on after step" in said
    assert ("is stopped: its process is ended" in said) == (number == signal.SIGSTOP)
    assert said.count("learner 2 rank(s)") == 2
    assert [row["step"] for row in rows(run)] == list(range(5))
    assert all(row["sync/verified"] is True for row in rows(run)[1:])
    rolled, fates = tally(run / "groups")
    assert rolled == sum(fates.values()), "every group has one fate, those of the lost steps too"
    assert command.orphans() == [], "a process that is stopped is killed like any other"
