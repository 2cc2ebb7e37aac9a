"""Runs whose labels people give while they go on: whatever people do, and whenever the driver dies, the books agree."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors import role
from effrl.config.schema import Config
from effrl.label.oracle.desk import PeopleDesk
from effrl.label.oracle.inbox.messages import Given
from effrl.questions import Answer
from effrl.run import metrics
from effrl.run.directory import RunDirectory
from effrl.run.groups import tally
from effrl.run.resume import StartPoint
from effrl.seeds import stream
from tests.unit.actors.driven import Death, attempt
from tests.unit.actors.test_labels_resumed import config, killed_and_resumed, label_of, write_data

BUDGET = 20


@dataclass
class People:
    """Answer some of the open questions whenever the run looks for answers, and skip or forget others."""

    answers: float
    """Chance that a question is answered at a look."""
    skips: float = 0.0
    looks: int = 0
    told: list[Answer] = field(default_factory=list)

    def work(self, desk: PeopleDesk) -> None:
        self.looks += 1
        for person in ("ann", "bob"):
            for item in desk.inbox.lease(person, 50):
                draw = stream(1, "people", self.looks, item.item, person)
                number = int(item.prompt)
                said = {"skip": "ambiguous"} if draw.random() < self.skips else {"typed": label_of(number) or "9"}
                if draw.random() < self.answers:
                    uuid = f"{self.looks}/{person}/{item.item}"
                    desk.inbox.answer(person, item.lease, uuid, Given.model_validate(said), lambda text, others: None)
                else:
                    desk.inbox.release(person, item.lease)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output


def settings_of(folder: Path, **label: object) -> Config:
    budget = {"per_step": 0.4, "total": BUDGET}
    return config(write_data(folder / "rows.jsonl", lambda number: None), {"buy": "entropy", "rest": "drop"} | {
        "budget": budget, "oracle": {"kind": "human"}, "max_age": 2, **label,
    })  # fmt: skip


def employ(monkeypatch: pytest.MonkeyPatch, people: People) -> None:
    look = PeopleDesk.answered

    def answered(desk: PeopleDesk, after: int) -> tuple[int, list[Answer]]:
        people.work(desk)
        cursor, told = look(desk, after)
        people.told += told
        return cursor, told

    monkeypatch.setattr(PeopleDesk, "answered", answered)


def check_books(run: RunDirectory, people: People) -> Counter[str]:
    """Nothing is open or paid twice, and every group has one fate; returns purchases by state."""
    with sqlite3.connect(run.ledger) as connection:
        lines = connection.execute("select query_id, prompt_id, state, cost from purchases").fetchall()
        log = connection.execute("select query_id, answer from answers order by number").fetchall()
    states = Counter(line[2] for line in lines)
    paid = [line[1] for line in lines if line[2] == "committed"]
    assert states["reserved"] == 0 and len(set(paid)) == len(paid)
    assert sum(line[3] for line in lines if line[2] != "refunded") <= BUDGET
    labels = [query for query, answer in log if answer is not None]
    assert len(set(labels)) == len(labels) and states["committed"] == len(labels)
    rolled, fates = tally(run.groups)
    assert rolled == sum(fates.values())
    return states


async def test_groups_join_the_batch_in_which_their_label_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = People(answers=1.0)
    employ(monkeypatch, people)
    run = RunDirectory(tmp_path / "run")
    await attempt(settings_of(tmp_path), run, StartPoint(tmp_path))
    check_books(run, people)
    rows = metrics.read(run.metrics)
    assert rows[0]["groups/parked"] > 0 and rows[1]["groups/joined"] == rows[0]["groups/parked"]
    assert any(row["replay/age_mean"] for row in rows if "replay/age_mean" in row), "joined groups are replayed too"


async def test_a_run_that_nobody_answers_ends_and_pays_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = People(answers=0.0)
    employ(monkeypatch, people)
    run = RunDirectory(tmp_path / "run")
    assert await attempt(settings_of(tmp_path), run, StartPoint(tmp_path)) == "base", "it learned nothing"
    assert set(check_books(run, people)) == {"refunded"}
    assert metrics.read(run.metrics)[-1]["label/open"] > 0, "until the run was over"


async def test_labels_that_come_too_late_are_owned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people = People(answers=0.35)
    employ(monkeypatch, people)
    run = RunDirectory(tmp_path / "run")
    await attempt(settings_of(tmp_path, max_age=0), run, StartPoint(tmp_path))
    check_books(run, people)
    rows = metrics.read(run.metrics)
    assert sum(row["groups/stale"] for row in rows) > 0
    assert sum(row["groups/trained"] for row in rows) > 0, "when their prompts came again"


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    answers=st.sampled_from([0.2, 0.5, 1.0]),
    skips=st.sampled_from([0.0, 0.5]),
    opinions=st.sampled_from([1, 2]),
    deaths=st.lists(st.builds(Death, st.integers(2, 6), st.booleans()), max_size=3),
)
async def test_whatever_people_do_and_whenever_the_driver_dies_the_books_agree(
    tmp_path_factory: pytest.TempPathFactory,
    answers: float,
    skips: float,
    opinions: int,
    deaths: Sequence[Death],
) -> None:
    folder, people = tmp_path_factory.mktemp("people"), People(answers, skips)
    run = RunDirectory(folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        employ(patch, people)
        ordered = sorted(deaths, key=lambda death: death.step)
        await killed_and_resumed(run, settings_of(folder, opinions=opinions), ordered, folder)
    check_books(run, people)
