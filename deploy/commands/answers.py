"""Answering a run's questions from a terminal, or from a table that people fill in while they are offline."""

import csv
import getpass
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.commands.inbox import ledger_of
from deploy.serve.inbox.exports import as_jsonl, as_parquet
from deploy.serve.inbox.reading import TypedAnswers
from effrl.errors import UserError
from effrl.label.oracle.inbox.messages import Given, InboxItem, SkipReason
from effrl.label.oracle.inbox.opinions import Conflict, UnknownLease
from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger
from effrl.report.show import printable

COLUMNS = ("lease", "person", "prompt", "answers", "choice", "typed", "skip", "note")
"""Of a table to fill in: ``choice`` takes the number of one of ``answers``, ``typed`` a new one, ``skip`` a reason."""
SKIPS: tuple[SkipReason, ...] = get_args(SkipReason)


@dataclass(frozen=True)
class Said:
    """What a person says to a question, as text."""

    choice: str = ""
    """The number that stands before an answer."""
    typed: str = ""
    skip: str = ""
    note: str = ""

    def given(self, item: InboxItem) -> Given:
        """The same as the inbox takes it.

        Raises:
            UserError: it is not exactly one thing, or there is no such number or reason.
        """
        numbers = {str(place): one.choice for place, one in enumerate(item.answers, start=1)}
        if self.choice and self.choice not in numbers:
            raise UserError(f"there is no answer {self.choice}: give one of 1 to {len(numbers)}, or --typed TEXT")
        said = {"choice": numbers.get(self.choice), "typed": self.typed or None, "skip": self.skip or None}
        try:
            return Given.model_validate({**said, "note": self.note})
        except ValidationError as error:
            reasons = ", ".join(SKIPS)
            raise UserError(f"say one thing: the number of an answer, --typed TEXT, or --skip ({reasons})") from error


def inbox_of(target: Path) -> Inbox:
    """The inbox of a run, or of a ledger file.

    Raises:
        UserError: there is none, or no run asks people there.
    """
    inbox = Inbox(Ledger(ledger_of(target)))
    if inbox.settings is None:
        raise UserError(f"{target} asks nobody yet: a run with label.oracle.kind=human does, once it has begun")
    return inbox


def show_next(target: Path, name: str | None, console: Console) -> None:
    """Show the question that a person holds, or the next one."""
    inbox, person = inbox_of(target), name or getpass.getuser()
    items = inbox.lease(person)
    if not items:
        console.print("nothing to do: no question waits for you", highlight=False)
        return
    _show(items[0], console)
    left = inbox.stats(person)
    console.print(
        f"effrl labels answer {target} 1 --name {person}   ({left.open} open, {left.mine} answered by you)",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def answer(target: Path, said: Said, name: str | None, console: Console) -> None:
    """Answer the question that a person holds.

    Raises:
        UserError: this person holds no question, or says nothing that can be taken.
    """
    inbox, person = inbox_of(target), name or getpass.getuser()
    held = inbox.lease(person)
    if not held:
        raise UserError("nothing to answer: no question waits for you")
    inbox.answer(person, held[0].lease, str(uuid.uuid4()), said.given(held[0]), TypedAnswers(inbox).same)
    console.print(f"kept; {inbox.stats(person).open} questions are open", highlight=False)


def list_questions(target: Path, state: str | None, limit: int, console: Console) -> None:
    """A table of the newest questions."""
    inbox = Inbox(Ledger(ledger_of(target)))
    table = Table(box=None, pad_edge=False)
    for column in ("step", "state", "prompt id", "answer", "by", "opinions"):
        table.add_column(column)
    after: int | None = 0
    rows: list[tuple[str, ...]] = []
    while after is not None:
        page = inbox.items(after, 1000, state)
        rows += [
            (str(one.step), one.state, one.prompt_id, one.answer or "", one.answered_by or "", str(one.opinions))
            for one in page.items
        ]
        rows, after = rows[-limit:], page.next
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    console.print(table)
    counts = ", ".join(f"{count:,} {name}" for name, count in sorted(inbox.overview().states.items()))
    console.print(counts or "no question was asked yet", highlight=False)


def export(target: Path, out: Path, count: int, name: str | None, console: Console) -> None:
    """Write every opinion (``.jsonl``, ``.parquet``), or questions to fill in (``.csv``).

    Raises:
        UserError: the file is there already, or its ending is none of these.
    """
    if out.exists():
        raise UserError(f"{out} is there already: name a new file, or move it away")
    if out.suffix == ".csv":
        _write_questions(inbox_of(target), out, count, name or getpass.getuser(), console)
        return
    forms = {".jsonl": as_jsonl, ".parquet": as_parquet}
    if out.suffix not in forms:
        raise UserError(f"{out}: end it in .jsonl or .parquet for answers, or in .csv for questions to fill in")
    with out.open("wb") as file:
        for piece in forms[out.suffix](Inbox(Ledger(ledger_of(target))).export()):
            file.write(piece)
    console.print(out, highlight=False, soft_wrap=True)


def import_answers(target: Path, table: Path, console: Console) -> None:
    """Take the answers of a table that was filled in; to take it twice changes nothing.

    Raises:
        UserError: the file is no such table. What is wrong with single rows is told, and the others are taken.
    """
    inbox, taken = inbox_of(target), 0
    same = TypedAnswers(inbox).same
    for number, row in _filled(table):
        person, lease = row["person"], row["lease"]
        try:
            given = Said(row["choice"], row["typed"], row["skip"], row["note"]).given(inbox.item(person, lease))
            inbox.answer(person, lease, str(uuid.uuid5(uuid.NAMESPACE_OID, lease)), given, same)
            taken += 1
        except (UserError, UnknownLease, Conflict) as error:
            console.print(f"line {number}: {error}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    console.print(f"{taken} answers are kept; {inbox.stats().open} questions are open", highlight=False)


def _write_questions(inbox: Inbox, out: Path, count: int, person: str, console: Console) -> None:
    """Questions that this person holds from now on; who comes back after the leases ran out may still be the first."""
    items = inbox.lease(person, count)
    with out.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, COLUMNS)
        rows.writeheader()
        for item in items:
            answers = "\n".join(f"{place}) {one.text}" for place, one in enumerate(item.answers, start=1))
            cells = {"prompt": _inert(item.prompt), "answers": _inert(answers)}
            rows.writerow({"lease": item.lease, "person": person, **cells})
    told = f"{len(items)} questions in {out}: fill in choice, typed or skip, then effrl labels import"
    console.print(told, highlight=False, markup=False, soft_wrap=True)


def _inert(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: models write what they like."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _filled(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line numbers and cells of the rows in which something was said."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:  # a spreadsheet may put a mark in front
            rows = csv.DictReader(file)
            if missing := set(COLUMNS) - set(rows.fieldnames or ()):
                wanted = "fill in a table of effrl labels export RUN FILE.csv"
                raise UserError(f"{table} has no column {min(missing)}: {wanted}")
            for row in rows:
                cells = {name: (row[name] or "").strip() for name in COLUMNS}
                if cells["choice"] or cells["typed"] or cells["skip"]:
                    yield rows.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {table}: {error}") from error


def _show(item: InboxItem, console: Console) -> None:
    console.print(Text(printable(item.prompt)), soft_wrap=True)
    for place, shown in enumerate(item.answers, start=1):
        console.print(Text(f"  {place}  {printable(shown.text)}"), soft_wrap=True)
    console.print(f"skip with --skip {'|'.join(SKIPS)}", highlight=False, markup=False)
