"""The ledger's table, and the rules of a purchase inside one transaction, which the ledger opens."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import Connection, Row

from effrl.errors import RunError
from effrl.questions import BUDGET_SPENT, ROUNDING, UNLABELLED, Answer, Label, Refused

REUSED = -1
"""The step of labels that another run bought (``label.reuse``): before the first."""


class LedgerError(RunError):
    """Something asks the ledger to contradict what it holds."""


class State(StrEnum):
    """Where a purchase stands."""

    RESERVED = "reserved"
    """Its cost is held back; the answer has not come."""
    COMMITTED = "committed"
    """Answered and paid: the label is owned from then on."""
    REFUNDED = "refunded"
    """Given back: it costs nothing, and the prompt may be asked again."""


class Outcome(StrEnum):
    """What became of the wish to buy a label."""

    RESERVED = "reserved"
    """New: its cost is held back now."""
    OWNED = "owned"
    """Bought before: here is the answer, nothing is charged."""
    PENDING = "pending"
    """Reserved before, by a killed attempt for one: it may be completed, nothing more is charged."""
    EXHAUSTED = "exhausted"
    """It would exceed the budget: nothing was written."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """The ledger's reply: ``Reservation(Outcome.OWNED, "train/3/chain/3f2a", "46")``."""

    outcome: Outcome
    query_id: str
    """The purchase to commit or refund."""
    answer: str | None = None
    """The label; present exactly when the outcome is ``owned``."""
    weight: float = 1.0
    """Of the label."""

    def __post_init__(self) -> None:
        assert (self.answer is not None) == (self.outcome is Outcome.OWNED)

    @property
    def label(self) -> Label | None:
        """What is owned."""
        return None if self.answer is None else Label(self.answer, self.weight)


@dataclass(frozen=True, slots=True)
class Purchase:
    """One line of the ledger; times are UTC in ISO 8601."""

    query_id: str
    prompt_id: str
    source: str
    step: int
    state: State
    cost: float
    answer: str | None
    answered_by: str | None
    reserved_at: str
    answered_at: str | None
    weight: float = 1.0
    """How much the label counts, see :class:`~effrl.questions.Label`."""


@dataclass(frozen=True, slots=True)
class PurchaseTerms:
    """Who sells, who pays, and how much: ``PurchaseTerms("dataset", 12, 1.0, 5000)``."""

    source: str
    step: int
    cost: float
    budget_total: int | None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.cost) and self.cost >= 0):  # a negative cost would mint budget
            raise ValueError(f"a label cannot cost {self.cost}")


metadata = MetaData()
purchases = Table(
    "purchases",
    metadata,
    Column("query_id", Text, primary_key=True),
    Column("prompt_id", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("step", Integer, nullable=False),
    Column("state", String(9), CheckConstraint("state in ('reserved', 'committed', 'refunded')"), nullable=False),
    Column("cost", Float, CheckConstraint("cost >= 0"), nullable=False),
    Column("answer", Text),
    Column("answered_by", Text),
    Column("reserved_at", Text, nullable=False),
    Column("answered_at", Text),
    Column("weight", Float, nullable=False, server_default="1.0"),
    CheckConstraint("(state = 'committed') = (answer is not null)", name="answered_when_committed"),
)
# Spelled out, because SQLite uses a partial index only where it sees the same condition, not a parameter.
charged = purchases.c.state != literal_column("'refunded'")
Index("charged_once", purchases.c.prompt_id, purchases.c.source, unique=True, sqlite_where=charged)
# The sums of an account read this alone.
Index("charged_by_step", purchases.c.step, purchases.c.state, purchases.c.cost, sqlite_where=charged)


class Books:
    """The lines that one transaction works on: loaded at once, changed in memory by the rules, written at once.

    The transaction must hold the write lock from before :meth:`load` until after :meth:`flush`.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        """For what else belongs into the same transaction."""
        self._lines: dict[str, Purchase] = {}
        self._charged: dict[tuple[str, str], str] = {}
        """Prompt and source to the query id that they are charged on."""
        self._changed: dict[str, Purchase] = {}
        self._spent = 0.0

    def load(self, query_ids: Sequence[str]) -> None:
        """Fetch the lines of these ids, for :meth:`commit` and :meth:`refund`."""
        for chunk in chunks(query_ids):
            self._fetch(purchases.c.query_id.in_(chunk))

    def load_for(self, terms: PurchaseTerms, wanted: Mapping[str, str]) -> None:
        """Fetch what :meth:`reserve` must know about ``wanted``, a mapping of query ids to prompt ids."""
        self.load(list(wanted))
        for chunk in chunks(list(wanted.values())):
            self._fetch(purchases.c.prompt_id.in_(chunk) & (purchases.c.source == terms.source) & charged)
        if terms.budget_total is not None:
            self._spent = total_cost(self.connection)

    def reserve(self, terms: PurchaseTerms, query_id: str, prompt_id: str) -> Reservation:
        """See :meth:`effrl.label.oracle.ledger.Ledger.reserve`."""
        self._check(terms, query_id, prompt_id)
        if (held := self._charged.get((prompt_id, terms.source))) is not None:
            line = self._lines[held]
            outcome = Outcome.PENDING if line.answer is None else Outcome.OWNED
            return Reservation(outcome, held, line.answer, line.weight)
        if terms.budget_total is not None and self._spent + terms.cost > terms.budget_total + ROUNDING:
            return Reservation(Outcome.EXHAUSTED, query_id)
        who = (query_id, prompt_id, terms.source, terms.step)
        self._change(Purchase(*who, State.RESERVED, terms.cost, None, None, _now(), None))
        return Reservation(Outcome.RESERVED, query_id)

    def commit(self, query_id: str, answer: str, answered_by: str, weight: float = 1.0) -> None:
        """See :meth:`effrl.label.oracle.ledger.Ledger.commit`."""
        line = self._get(query_id)
        if line.state is State.REFUNDED:
            raise LedgerError(f"{query_id}: was refunded before its answer came; reserve it again, then commit")
        if line.state is State.RESERVED:
            paid = replace(line, state=State.COMMITTED, answer=answer, answered_by=answered_by, weight=weight)
            self._change(replace(paid, answered_at=_now()))
        elif line.answer != answer:
            raise LedgerError(
                f"{query_id}: already answered {line.answer!r} by {line.answered_by}, now {answer!r} by {answered_by};"
                " the first answer stands"
            )

    def refund(self, query_id: str) -> None:
        """See :meth:`effrl.label.oracle.ledger.Ledger.refund`."""
        line = self._get(query_id)
        if line.state is State.COMMITTED:
            raise LedgerError(f"{query_id}: was answered by {line.answered_by} and paid; it cannot be refunded")
        if line.state is State.RESERVED:
            self._change(replace(line, state=State.REFUNDED))

    def reopen(self, query_id: str) -> None:
        """Take an answer back that nobody was told yet: its cost is held back again, as before it came.

        Raises:
            LedgerError: the purchase is unknown or refunded.
        """
        line = self._get(query_id)
        if line.state is State.REFUNDED:
            raise LedgerError(f"{query_id}: was refunded; reserve it again")
        self._change(replace(line, state=State.RESERVED, answer=None, answered_by=None, answered_at=None, weight=1.0))

    def buy(
        self, terms: PurchaseTerms, query_id: str, prompt_id: str, answer: Callable[[str], str | None], answered_by: str
    ) -> Label | Refused:
        """Reserve, ask, and commit or refund: one prompt of :meth:`effrl.label.oracle.ledger.Ledger.buy_all`."""
        reservation = self.reserve(terms, query_id, prompt_id)
        if reservation.label is not None:
            return reservation.label
        if reservation.outcome is Outcome.EXHAUSTED:
            asked_before = query_id in self._lines  # by the same step, which got its money back
            return Refused(UNLABELLED if asked_before else BUDGET_SPENT)
        if (label := answer(prompt_id)) is None:
            self.refund(reservation.query_id)
            return Refused(UNLABELLED)
        self.commit(reservation.query_id, label, answered_by)
        return Label(label)

    def state(self, query_id: str) -> State:
        """Where a purchase stands."""
        return self._get(query_id).state

    def is_open(self, query_id: str) -> bool:
        """Whether a purchase waits for its answer."""
        return self.state(query_id) is State.RESERVED

    def adopt(self, line: Purchase) -> bool:
        """Take over a committed line of another ledger; False where its prompt is charged on another line."""
        if line.query_id in self._lines or (line.prompt_id, line.source) in self._charged:
            return False
        self._change(line)
        return True

    def prompt_of(self, query_id: str) -> str:
        """Whose label a purchase is."""
        return self._get(query_id).prompt_id

    def settle(self, answer: Answer, answered_by: str) -> None:
        """Commit the late answer to a query, or refund it where nobody could give one."""
        if answer.answer is None:
            self.refund(answer.query)
        else:
            self.commit(answer.query, answer.answer, answered_by, answer.weight)

    def flush(self) -> None:
        """Write every changed line."""
        if self._changed:
            self.connection.execute(_UPSERT, [asdict(line) for line in self._changed.values()])
            self._changed.clear()

    def _fetch(self, condition: ColumnElement[bool]) -> None:
        for row in self.connection.execute(select(purchases).where(condition)):
            self._note(purchase(row))

    def _note(self, line: Purchase) -> None:
        self._lines[line.query_id] = line
        if line.state is not State.REFUNDED:
            self._charged[line.prompt_id, line.source] = line.query_id

    def _change(self, line: Purchase) -> None:
        before = self._lines.get(line.query_id)
        self._spent += _charge(line) - (_charge(before) if before else 0.0)
        self._charged.pop((line.prompt_id, line.source), None)
        self._note(line)
        self._changed[line.query_id] = line

    def _get(self, query_id: str) -> Purchase:
        if query_id not in self._lines:
            raise LedgerError(f"{query_id}: no such purchase; reserve it first")
        return self._lines[query_id]

    def _check(self, terms: PurchaseTerms, query_id: str, prompt_id: str) -> None:
        line = self._lines.get(query_id)
        if line is not None and (line.prompt_id, line.source) != (prompt_id, terms.source):
            raise LedgerError(
                f"{query_id}: asks {terms.source} about {prompt_id}, but the ledger holds it as a question to"
                f" {line.source} about {line.prompt_id}"
            )


_insert = insert(purchases)
_UPSERT = _insert.on_conflict_do_update(
    index_elements=["query_id"],
    set_={column.name: column for column in _insert.excluded if column.name != "query_id"},
)


def purchase(row: Row[Any]) -> Purchase:
    """One line of the table as a value."""
    return Purchase(**{**row._mapping, "state": State(row.state)})


def total_cost(connection: Connection) -> float:
    """Cost of all purchases that are not refunded."""
    total = connection.execute(select(func.sum(purchases.c.cost)).where(charged)).scalar_one()
    return float(total or 0.0)


def chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """``ids`` in pieces that fit into one statement: SQLite takes 32,766 parameters."""
    for start in range(0, len(ids), 10_000):
        yield ids[start : start + 10_000]


def _charge(line: Purchase) -> float:
    return 0.0 if line.state is State.REFUNDED else line.cost


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
