"""What the journal tells of a run that learns nothing, or the wrong thing."""

import asyncio
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from actors.driver.journal import RunJournal
from actors.driver.usage import UsageWatch
from effrl.run.metrics import Metrics, MetricsLog, Stopwatch, read
from effrl.run.timeline import Timeline
from effrl.run.uploads import NoUploads


class Notes:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.note = self.said.append

    def step_done(self, row: dict[str, Any]) -> None:
        """The line is not of interest here."""


async def nobody() -> dict[str, None]:
    return {}


def journal(notes: Notes, metrics: Metrics | None = None) -> RunJournal:
    given: dict[str, Any] = {field.name: None for field in fields(RunJournal) if not field.name.startswith("_")}
    parts = {"usage": UsageWatch(nobody, dict), "clock": Stopwatch(), "timeline": Timeline()}
    return RunJournal(**{**given, **parts, "progress": notes, "metrics": metrics, "uploads": NoUploads()})


def commit(log: Path, row: dict[str, Any]) -> list[str]:
    """Write a row as a journal does that knows nothing but the log, as after a resume; return what it said."""
    notes, metrics = Notes(), Metrics(MetricsLog(log))
    asyncio.run(journal(notes, metrics)._write(row))
    return notes.said


def nothing_to_learn(step: int, mean: float | None) -> dict[str, Any]:
    fate = "filtered" if mean is not None else "dropped"
    return {"step": step, "groups/rolled": 8, f"groups/{fate}": 8, "reward/outcome_mean": mean}


@pytest.mark.parametrize(
    ("mean", "told"),
    [(0.0, "mean outcome 0.00"), (1.0, "mean outcome 1.00"), (None, "no rollout was scored")],
)
def test_a_run_that_learns_nothing_is_told_once(tmp_path: Path, mean: float | None, told: str) -> None:
    said: list[str] = []
    for step in range(1, 10):
        said += commit(tmp_path / "metrics.jsonl", nothing_to_learn(step, mean))
        assert len(said) == (step >= 5)
    assert told in said[0]


def test_a_run_that_learns_now_and_then_is_told_nothing(tmp_path: Path) -> None:
    for step in range(1, 20):
        row = nothing_to_learn(step, 0.5) | ({"groups/trained": 8, "groups/filtered": 0} if step % 5 == 0 else {})
        assert commit(tmp_path / "metrics.jsonl", row) == []


def test_process_rewards_that_are_hacked_are_told_once(tmp_path: Path) -> None:
    """Whichever steps a resume lies between, and though some steps know nothing."""
    log = tmp_path / "metrics.jsonl"
    said = []
    for step in range(1, 100):
        later = step > 50
        row = {"step": step, "process/reward_mean": 0.01 + 0.02 * later, "reward/outcome_mean": 0.5 - 0.2 * later}
        said += commit(log, row if step % 3 else {"step": step, "reward/outcome_mean": None})
    [line] = said
    first, *_ = [row["step"] for row in read(log) if row.get("advice/hacking")]
    assert f"step {first}:" in line and 50 < first < 70


def test_votes_that_collapse_are_told_once_and_at_an_evaluation(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    said = commit(log, {"step": 0, "eval/pass@4": 0.8})
    for step in range(1, 30):
        row = {"step": step, "label/majority_share": 0.5 + step / 60, "label/answer_entropy": 1 - step / 30}
        row |= {"label/token_share/vote": 1.0} | ({"eval/pass@4": 0.8 - step / 50} if step % 5 == 0 else {})
        said += commit(log, row)
    [line] = said
    shown = [row["step"] for row in read(log) if row.get("advice/collapse")]
    assert f"step {shown[0]}:" in line and shown == [10, 15, 20, 25]
