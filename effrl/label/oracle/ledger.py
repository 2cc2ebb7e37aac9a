"""The ledger: one durable line per label that was asked for, and the only judge of what may still be bought.

A purchase is *reserved* (its cost is held back), then *committed* with its answer, or *refunded*. Two rules are kept
by the database and not by callers, so that no crash, retry, duplicate answer or second process can break them:

- A prompt is charged once per source: a unique index allows one line per prompt and source that is not refunded.
- The budget is never exceeded: the check and the reservation are one transaction that holds the write lock.

Consumes: nothing. Waits for: SQLite's write lock, at most ``timeout_s``. Unblocked by: the other writer's commit.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import ColumnElement, case, create_engine, event, func, inspect, select, text
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from effrl.errors import DeadlineError, UserError
from effrl.label.oracle import log
from effrl.label.oracle.purchases import (
    REUSED,
    Books,
    LedgerError,
    Outcome,
    Purchase,
    PurchaseTerms,
    Reservation,
    State,
    charged,
    chunks,
    metadata,
    purchase,
    purchases,
    total_cost,
)
from effrl.questions import Account, Answer, Asked, Label, Reply, Standing
from effrl.types import LOOK_AHEAD

__all__ = ["Ledger", "LedgerError", "Outcome", "Purchase", "Reservation", "State", "query_id"]

_REMEDY = "label.ledger names another place for it, on a local disk, such as label.ledger=/var/tmp/NAME.sqlite"


def query_id(stage: str, step: int, prompt_id: str) -> str:
    """The name of a purchase: ``"train/12/chain/3f2a"``. A resumed attempt asks again under the same name."""
    return f"{stage}/{step}/{prompt_id}"


class Ledger:
    """Purchases of labels, on SQLite in WAL mode; any number of processes may open the same file.

    Every change is on disk when the method returns. Methods raise :class:`~effrl.errors.DeadlineError` where another
    process holds the write lock for longer than ``timeout_s``.
    """

    def __init__(self, url_or_path: str | Path, timeout_s: float = 30.0) -> None:
        """Open the ledger, or create it.

        Args:
            url_or_path: a file, or a URL like ``sqlite:////data/ledger.sqlite``.
            timeout_s: longest wait for another process's transaction.

        Raises:
            UserError: the file cannot be opened, is not a ledger, or lies where SQLite's WAL does not work.
        """
        url = _url(url_or_path)
        self._name = str(url.database)
        self._timeout_s = timeout_s
        self._turn = Lock()
        self._engine = _engine(url, timeout_s)
        # Readers take no lock; writers take SQLite's write lock at once, so that nobody writes between check and use.
        self._writers = self._engine.execution_options(ledger_begin="IMMEDIATE")
        try:
            with self._transaction() as connection:
                metadata.create_all(connection)
                _bring_up_to_date(connection)
        except DatabaseError as error:
            raise UserError(f"{self._name}: cannot be opened as a ledger ({error.orig}); {_REMEDY}") from error

    def reserve(
        self, query_id: str, prompt_id: str, source: str, step: int, *, budget_total: int | None, cost: float = 1.0
    ) -> Reservation:
        """Hold back the cost of one label. Safe to repeat.

        Args:
            query_id: name of the purchase, see :func:`query_id`.
            prompt_id: prompt whose label is wanted.
            source: who sells it, such as ``dataset`` or ``people``; a prompt is charged once per source.
            step: step that pays.
            budget_total: most that committed and reserved purchases may cost together; None for no limit.
            cost: price of the label.

        Returns:
            RESERVED, OWNED with the answer, PENDING or EXHAUSTED. The reservation's ``query_id`` is the one to commit:
            where the prompt is reserved under another id already, that one.

        Raises:
            ValueError: the cost is negative or not finite.
            LedgerError: the query id belongs to another prompt or source.
        """
        terms = PurchaseTerms(source, step, cost, budget_total)
        with self.books() as books:
            books.load_for(terms, {query_id: prompt_id})
            return books.reserve(terms, query_id, prompt_id)

    def commit(self, query_id: str, answer: str, answered_by: str) -> None:
        """Write down the answer of a reserved purchase. The same answer again changes nothing.

        Raises:
            LedgerError: the purchase is unknown or refunded, or was committed with another answer.
        """
        with self.books() as books:
            books.load([query_id])
            books.commit(query_id, answer, answered_by)

    def refund(self, query_id: str) -> None:
        """Give back the cost of a reserved purchase; it may be reserved again. A second refund changes nothing.

        Raises:
            LedgerError: the purchase is unknown, or committed: what was answered is paid.
        """
        with self.books() as books:
            books.load([query_id])
            books.refund(query_id)

    def buy_all(
        self,
        stage: str,
        step: int,
        prompt_ids: Sequence[str],
        source: str,
        answer: Callable[[str], str | None],
        answered_by: str,
        *,
        budget_total: int | None,
        cost: float = 1.0,
    ) -> list[Reply]:
        """Buy from a source that answers at once, all prompts in one transaction: a crash leaves all or nothing.

        Args:
            answer: label of a prompt, or None where it has none (which is not charged). Called only for prompts whose
                cost is reserved, with the write lock held: it must be quick. If it raises, nothing is bought.

        Returns:
            A label or a refusal per prompt, in order. The same call again has the same replies, and changes nothing.

        Raises:
            ValueError, LedgerError: as in :meth:`reserve`.
        """
        terms = PurchaseTerms(source, step, cost, budget_total)
        wanted = {query_id(stage, step, prompt_id): prompt_id for prompt_id in prompt_ids}
        with self.books() as books:
            books.load_for(terms, wanted)
            replies = {name: books.buy(terms, query, name, answer, answered_by) for query, name in wanted.items()}
        return [replies[prompt_id] for prompt_id in prompt_ids]

    def spent(self) -> float:
        """Cost of committed and reserved purchases."""
        with self.reading() as connection:
            return total_cost(connection)

    def account(self, step: int, *, budget_total: int | None, price: float = 1.0) -> Account:
        """How the account stands at the end of a step; what a later step has bought or asked does not count."""
        paid = purchases.c.state == State.COMMITTED
        reused = purchases.c.step == REUSED
        bought = paid & ~reused
        conditions = (bought & (purchases.c.step == step), bought, paid & reused, ~paid)
        columns = (*(func.count(case((condition, 1))) for condition in conditions), func.sum(purchases.c.cost))
        with self.reading() as connection:
            row = connection.execute(select(*columns).where(charged, purchases.c.step <= step)).one()
        left = None if budget_total is None else budget_total - (row[4] or 0.0)
        return Account(row[0], row[1], row[3], left, price, reused=row[2])

    def owned(self, prompt_ids: Sequence[str], step: int | None = None) -> dict[str, Label]:
        """Labels of those prompts whose label was bought; of several sources, the latest.

        Args:
            step: look at what was bought before the decisions of this step alone: in earlier steps, or by its look
                ahead. Without that, a step that a resume repeats would own what it bought before it was killed, and
                buy others besides. What a lost step bought is owned once the run has passed it; to buy it again before
                costs nothing.
        """
        rows = self._before(prompt_ids, step, State.COMMITTED, purchases.c.answer, purchases.c.weight)
        return {prompt_id: Label(answer, weight) for prompt_id, answer, weight in rows}

    def asked(self, prompt_ids: Sequence[str], step: int | None = None) -> dict[str, Asked]:
        """The open queries about these prompts that were made before the decisions of ``step``, as for labels."""
        rows = self._before(prompt_ids, step, State.RESERVED, purchases.c.query_id)
        return {prompt_id: Asked(query) for prompt_id, query in rows}

    def standing(self, prompt_ids: Sequence[str], step: int) -> list[Standing]:
        """What is known of each prompt before the decisions of a step: a label, an open query, or nothing."""
        known = self.asked(prompt_ids, step) | self.owned(prompt_ids, step)
        return [known.get(prompt_id) for prompt_id in prompt_ids]

    def settle(self, answers: Sequence[Answer], answered_by: str) -> None:
        """Close questions with what came late: a label is paid, the cost of none is given back, and the log tells.

        A question that is closed already stays as it is.
        """
        with self.books() as books:
            books.load([answer.query for answer in answers])
            for answer in answers:
                if books.is_open(answer.query):
                    books.settle(answer, answered_by)
                    log.add(books.connection, answer)

    def open(self) -> list[str]:
        """The queries that wait for their answer, the oldest first."""
        waits = charged & (purchases.c.state == State.RESERVED)
        query = select(purchases.c.query_id).where(waits).order_by(purchases.c.reserved_at, purchases.c.query_id)
        with self.reading() as connection:
            return list(connection.execute(query).scalars())

    def adopt(self, lines: Sequence[Purchase]) -> int:
        """Take over committed lines of other ledgers, unless their prompts have a label; returns how many were."""
        with self.books() as books:
            for source in {line.source for line in lines}:
                terms = PurchaseTerms(source, 0, 0.0, None)
                books.load_for(terms, {line.query_id: line.prompt_id for line in lines if line.source == source})
            return sum(books.adopt(line) for line in lines)

    def withdraw(self, queries: Sequence[str], reason: str) -> None:
        """Close questions without an answer; one that is closed already stays as it is."""
        with self.books() as books:
            books.load(queries)
            for query in queries:
                if books.is_open(query):
                    books.refund(query)
                    log.add(books.connection, Answer(query, books.prompt_of(query), None, reason=reason))

    def answered(self, after: int) -> tuple[int, list[Answer]]:
        """The late answers after a cursor, from 0 on, and the cursor to go on from."""
        with self.reading() as connection:
            if not log.news(connection, after):
                return after, []
        with self._transaction() as connection:
            return log.tell(connection, after)

    def _before(
        self, prompt_ids: Sequence[str], step: int | None, state: State, *columns: ColumnElement[Any]
    ) -> list[Any]:
        """Prompt id and columns of lines of one state, the oldest first."""
        wanted = charged & (purchases.c.state == state)  # the first condition is there for its index
        if step is not None:
            ahead = (purchases.c.step == step) & purchases.c.query_id.startswith(f"{LOOK_AHEAD}/")
            wanted &= (purchases.c.step < step) | ahead
        order = (purchases.c.answered_at, purchases.c.query_id)
        query = select(purchases.c.prompt_id, *columns).where(wanted).order_by(*order)
        with self.reading() as connection:
            found = [connection.execute(query.where(purchases.c.prompt_id.in_(part))) for part in chunks(prompt_ids)]
            return [row for rows in found for row in rows]

    def rows(self) -> Iterator[Purchase]:
        """Every line in the order of reservation, as of the first ``next``, without loading them all."""
        query = select(purchases).order_by(purchases.c.reserved_at, purchases.c.query_id)
        with self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=1000).execute(query):
                yield purchase(row)

    def close(self) -> None:
        """Close the connections of this process; the ledger may be opened again."""
        self._engine.dispose()

    @contextmanager
    def books(self) -> Iterator[Books]:
        """One transaction over lines, which holds the write lock; whoever keeps tables of its own there uses it too."""
        with self._transaction() as connection:
            books = Books(connection)
            yield books
            books.flush()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One transaction that only reads, and waits for nobody."""
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        # SQLite makes writers sleep and try again, and whoever is unlucky waits for seconds: threads of this process
        # queue up here instead.
        if not self._turn.acquire(timeout=self._timeout_s):
            raise self._too_late()
        try:
            with self._locked() as connection:
                yield connection
        finally:
            self._turn.release()

    @contextmanager
    def _locked(self) -> Iterator[Connection]:
        try:
            with self._writers.begin() as connection:
                yield connection
        except OperationalError as error:
            if "locked" not in str(error.orig):
                raise
            raise self._too_late() from error

    def _too_late(self) -> DeadlineError:
        return DeadlineError(
            f"{self._name}: waited {self._timeout_s:g} s for the ledger's write lock; which process holds it?"
        )


def _bring_up_to_date(connection: Connection) -> None:
    """Give a ledger of an earlier version the column that it lacks."""
    if "weight" not in {column["name"] for column in inspect(connection).get_columns(purchases.name)}:
        connection.execute(text("ALTER TABLE purchases ADD COLUMN weight FLOAT NOT NULL DEFAULT 1.0"))


def file_of(url_or_path: str | Path) -> Path:
    """The file that a ledger is in.

    Raises:
        UserError: it is a URL of something else.
    """
    return Path(str(_url(url_or_path).database))


def _url(url_or_path: str | Path) -> URL:
    text = str(url_or_path)
    if "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        url = make_url(text)
    except ArgumentError:
        raise UserError(f"{text}: not a database URL; write a path, or sqlite:////path/to/ledger.sqlite") from None
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        # The URL may hold a password: name its kind only.
        raise UserError(f"a {url.drivername} ledger is not supported: write the path of an SQLite file")
    return url


def _engine(url: URL, timeout_s: float) -> Engine:
    engine = create_engine(url, connect_args={"timeout": timeout_s})

    @event.listens_for(engine, "connect")
    def _connected(connection: DBAPIConnection, _record: object) -> None:
        connection.isolation_level = None  # the "begin" hook opens transactions, not the driver
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":  # such as a network drive without shared memory: two writers would overspend there
            raise UserError(f"{url.database}: SQLite's WAL does not work on this file system; {_REMEDY}")
        connection.execute("PRAGMA synchronous=FULL")  # a commit survives power loss, not only a killed process

    @event.listens_for(engine, "begin")
    def _begins(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('ledger_begin', 'DEFERRED')}")

    return engine
