"""What the journal tells of a run that learns nothing, or the wrong thing."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from actors.driver.journal import SILENT_STEPS, RunJournal
from effrl.label.collapse import COLLAPSE
from effrl.process.hacking import HACKING
from effrl.run.metrics import Metrics, MetricsLog, read
from effrl.run.uploads import NoUploads
from effrl.types import Update


class Notes:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.note = self.said.append


def journal(notes: Notes, metrics: Metrics | None = None) -> RunJournal:
    given: dict[str, Any] = {field.name: None for field in fields(RunJournal) if not field.name.startswith("_")}
    return RunJournal(**{**given, "progress": notes, "metrics": metrics, "uploads": NoUploads()})


@pytest.mark.parametrize(
    ("mean", "told"),
    [(0.0, "mean outcome 0.00"), (1.0, "mean outcome 1.00"), (None, "no rollout was scored")],
)
def test_a_run_that_learns_nothing_is_told_once(mean: float | None, told: str) -> None:
    notes = Notes()
    watched = journal(notes)
    for step in range(1, 2 * SILENT_STEPS):
        watched._count_silence(Update(step, 0, learned=False), mean)
        assert len(notes.said) == (step >= SILENT_STEPS)
    assert told in notes.said[0]


def test_a_step_that_learns_starts_the_count_anew() -> None:
    notes = Notes()
    watched = journal(notes)
    for step in range(1, 20):
        watched._count_silence(Update(step, step, learned=step % SILENT_STEPS == 0), 0.5)
    assert notes.said == []


def commit(log: Path, row: dict[str, Any], evaluated: bool = False) -> list[str]:
    """Write a row with its alarms, as a journal does that knows nothing but the log; return what it said."""
    notes, metrics = Notes(), Metrics(MetricsLog(log))
    metrics.write(row | journal(notes, metrics)._alarms(row, evaluated))
    return notes.said


def test_process_rewards_that_are_hacked_are_told_once(tmp_path: Path) -> None:
    """Whichever steps a resume lies between, and though some steps know nothing."""
    log = tmp_path / "metrics.jsonl"
    said = []
    for step in range(1, 100):
        later = step > 50
        row = {"step": step, "process/reward_mean": 0.01 + 0.02 * later, "reward/outcome_mean": 0.5 - 0.2 * later}
        said += commit(log, row if step % 3 else {"step": step, "reward/outcome_mean": None})
    [line] = said
    [alarmed] = [row["step"] for row in read(log) if row.get(HACKING)]
    assert f"step {alarmed}:" in line and 50 < alarmed < 70


def test_votes_that_collapse_are_told_once_and_at_an_evaluation(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    said = commit(log, {"step": 0, "eval/pass@4": 0.8}, evaluated=True)
    for step in range(1, 30):
        row = {"step": step, "label/majority_share": 0.5 + step / 60, "label/answer_entropy": 1 - step / 30}
        row |= {"label/token_share/vote": 1.0} | ({"eval/pass@4": 0.8 - step / 50} if step % 5 == 0 else {})
        said += commit(log, row, evaluated=step % 5 == 0)
    [line] = said
    [alarmed] = [row["step"] for row in read(log) if row.get(COLLAPSE)]
    assert f"step {alarmed}:" in line and alarmed == 10
