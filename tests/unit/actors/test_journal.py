"""What the journal tells of a run that learns nothing."""

from dataclasses import fields
from typing import Any

import pytest

from actors.driver.journal import SILENT_STEPS, RunJournal
from effrl.types import Update


class Notes:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.note = self.said.append


def journal(notes: Notes) -> RunJournal:
    given: dict[str, Any] = {field.name: None for field in fields(RunJournal) if not field.name.startswith("_")}
    return RunJournal(**{**given, "progress": notes})


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
