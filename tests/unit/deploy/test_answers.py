"""Answering from a terminal, and from a table that was filled in offline."""

import csv
import io
from pathlib import Path

import pytest
from reads import step_of
from rich.console import Console

from deploy.commands import answers
from deploy.commands.answers import Said
from effrl.errors import UserError
from effrl.label.oracle.inbox.messages import Settings
from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger
from effrl.questions import Question
from effrl.types import Prompt


class Terminal:
    """What a person sees."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"
        self.inbox = Inbox(Ledger(self.path))
        self.inbox.register(Settings(run="demo"))
        texts = {"a": "=1+1", "b": "what is [b]?"}
        self.inbox.ask(step_of(1), [Question(Prompt(name, text), ("46", "45")) for name, text in texts.items()])
        self.out = io.StringIO()
        self.console = Console(file=self.out, width=200)

    @property
    def seen(self) -> str:
        return self.out.getvalue()


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_the_next_question_is_shown_and_answered_by_its_number(terminal: Terminal) -> None:
    answers.show_next(terminal.path, "ann", terminal.console)
    [item] = terminal.inbox.lease("ann")
    assert item.prompt in terminal.seen and f"  1  {item.answers[0].text}" in terminal.seen
    answers.answer(terminal.path, Said(choice="1"), "ann", terminal.console)
    [told] = terminal.inbox.answered(0)[1]
    assert told.answer == item.answers[0].text and "1 questions are open" in terminal.seen


@pytest.mark.parametrize("said", [Said(), Said(choice="3"), Said(choice="1", skip="ambiguous"), Said(skip="tired")])
def test_what_is_not_one_answer_is_one_line(terminal: Terminal, said: Said) -> None:
    with pytest.raises(UserError, match=r"answer|say one thing"):
        answers.answer(terminal.path, said, "ann", terminal.console)


def test_a_table_goes_out_and_comes_back_and_twice_is_as_good_as_once(terminal: Terminal, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    answers.export(terminal.path, table, 10, "ann", terminal.console)
    rows = list(csv.DictReader(table.open(newline="")))
    assert {row["prompt"] for row in rows} == {"'=1+1", "what is [b]?"}, "a spreadsheet runs no formula of a model"
    rows[0]["typed"], rows[1]["choice"] = "47", "9"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    for _ in range(2):
        answers.import_answers(terminal.path, table, terminal.console)
    assert [told.answer for told in terminal.inbox.answered(0)[1]] == ["47"]
    assert "there is no answer 9" in terminal.seen and "1 answers are kept" in terminal.seen


def test_files_that_are_there_or_of_no_known_form_are_refused(terminal: Terminal, tmp_path: Path) -> None:
    for name in ("labels.txt", terminal.path.name):
        with pytest.raises(UserError):
            answers.export(terminal.path, tmp_path / name, 1, "ann", terminal.console)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="has no column"):
        answers.import_answers(terminal.path, tmp_path / "other.csv", terminal.console)


def test_questions_are_listed_by_state(terminal: Terminal) -> None:
    answers.answer(terminal.path, Said(choice="1"), "ann", terminal.console)
    answers.list_questions(terminal.path, "open", 10, terminal.console)
    assert "1 answered, 1 open" in terminal.seen


def test_a_run_that_asks_nobody_says_so(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.sqlite").close()
    with pytest.raises(UserError, match="asks nobody yet"):
        answers.inbox_of(tmp_path / "ledger.sqlite")
    with pytest.raises(UserError, match="neither a run nor a ledger"):
        answers.inbox_of(tmp_path / "nothing")
