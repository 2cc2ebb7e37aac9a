"""The inbox: what a run asks people, what they answer, and what the run is told.

Consumes: questions of a run, and people's opinions. Produces: committed lines of the ledger and rows of its log, each
in one transaction with what it comes from. Waits for: SQLite's write lock. Unblocked by: the other writer's commit.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.engine import Connection

from effrl.label.oracle.inbox import leases as handing
from effrl.label.oracle.inbox import opinions as taking
from effrl.label.oracle.inbox import views
from effrl.label.oracle.inbox.messages import (
    Before,
    Given,
    GoldQuestion,
    InboxItem,
    LeasePurpose,
    Listing,
    Overview,
    Settings,
    Shown,
    Stats,
)
from effrl.label.oracle.inbox.opinions import Conflict, Same, UnknownLease
from effrl.label.oracle.inbox.tables import contents, is_live, is_open, leases, opinions, questions, settings, waiting
from effrl.label.oracle.ledger import Ledger, query_id
from effrl.label.oracle.purchases import Books, Outcome, PurchaseTerms, chunks, metadata
from effrl.questions import BUDGET_SPENT, WITHDRAWN, Account, Answer, Asked, Question, Refused, Reply, Standing
from effrl.types import Step

CLOSED = {"skipped": "people could not tell", "disagreed": "people disagree"}
"""Why a question of such a state is never asked again."""


class Inbox:
    """Questions and answers of one run, in the file of its ledger; any number of processes may open it.

    Every change is on disk when the method returns. All methods are safe to repeat.
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        """``clock`` gives Unix seconds."""
        self.ledger = ledger
        self._clock = clock
        with ledger.books() as books:
            metadata.create_all(books.connection)

    # --- the run's side

    def register(self, given: Settings, gold: Sequence[GoldQuestion] = ()) -> None:
        """Say how the run asks; replaces what it said before. Gold questions are added to those that are there."""
        with self.ledger.books() as books:
            row = {"number": 1, "value": given.model_dump_json()}
            books.connection.execute(_replacing(settings, row, "number"))
            for entry in gold:
                self._add_gold(books.connection, entry)

    @property
    def settings(self) -> Settings | None:
        """What the run registered; None before it did."""
        with self.ledger.reading() as connection:
            return _settings(connection)

    def ask(self, step: Step, asked: Sequence[Question]) -> list[Reply]:
        """Hold back the cost of each question, and put it before people: a label that is owned, a query, or no.

        A prompt whose question is open already attaches to it; one that people could not answer is refused.

        Raises:
            Conflict: no run has registered.
        """
        wanted = {query_id(step.stage, step.number, question.prompt.id): question for question in asked}
        with self.ledger.books() as books:
            run = _registered(books.connection)
            terms = PurchaseTerms(run.source, step.number, run.price, run.budget_total)
            ids = {query: question.prompt.id for query, question in wanted.items()}
            books.load_for(terms, ids)
            closed = _closed(books.connection, list(ids.values()))
            replies = {
                question.prompt.id: closed.get(question.prompt.id) or self._ask(books, terms, run, query, question)
                for query, question in wanted.items()
            }
        return [replies[question.prompt.id] for question in asked]

    def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[Standing]:
        """What was bought or asked before a step."""
        return self.ledger.standing(prompt_ids, step.number)

    def account(self, step: int) -> Account:
        """How the account stands at the end of a step.

        Raises:
            Conflict: no run has registered.
        """
        with self.ledger.reading() as connection:
            run = _registered(connection)
        return self.ledger.account(step, budget_total=run.budget_total, price=run.price)

    def withdraw(self, queries: Sequence[str]) -> None:
        """Close these questions, unless they are closed already; what people answer from now on costs nothing."""
        with self.ledger.books() as books:
            for part in chunks(queries):
                rows = books.connection.execute(select(questions).where(questions.c.query_id.in_(part), is_open)).all()
                for row in rows:
                    taking.abandon(books, row, "withdrawn", WITHDRAWN)

    def answered(self, after: int) -> tuple[int, list[Answer]]:
        """The late answers after a cursor, and the cursor to go on from; questions that are too old close first."""
        now = self._clock()
        due = is_open & (questions.c.expires_at <= now)
        with self.ledger.reading() as connection:
            is_due = connection.execute(select(questions.c.item).where(due).limit(1)).first() is not None
        if is_due:
            with self.ledger.books() as books:
                for row in books.connection.execute(select(questions).where(due)).all():
                    taking.abandon(books, row, "expired", "nobody answered in time")
        return self.ledger.answered(after)

    def wait_until(self, until: float) -> None:
        """Tell people that the run waits for them until then, in Unix seconds."""
        with self.ledger.books() as books:
            books.connection.execute(_replacing(waiting, {"number": 1, "until": until}, "number"))

    # --- people

    def lease(self, annotator: str, count: int = 1, holding: Sequence[str] = ()) -> list[InboxItem]:
        """Up to ``count`` questions that this person does not hold; what was handed to them and lost comes first."""
        now = self._clock()
        with self.ledger.books() as books:
            connection, run = books.connection, _settings(books.connection)
            granted = [row.lease for row in handing.held(connection, annotator, now) if row.lease not in holding]
            while len(granted) < count and (chosen := self._next(connection, annotator, run, now, holding)) is not None:
                granted.append(handing.grant(connection, chosen[0], annotator, chosen[1], now))
            return [_item(connection, lease) for lease in granted[:count]]

    def heartbeat(self, annotator: str, held: Sequence[str]) -> dict[str, float | None]:
        """Prolong leases; None for those that were lost, since the question has gone to somebody else."""
        now = self._clock()
        with self.ledger.books() as books:
            rows = {row.lease: row for row in _leases_of(books.connection, annotator, held) if row.live}
            return {name: handing.prolong(books.connection, rows[name], now) if name in rows else None for name in held}

    def release(self, annotator: str, lease: str) -> None:
        """Give a question back."""
        with self.ledger.books() as books:
            for row in _leases_of(books.connection, annotator, [lease]):
                handing.end(books.connection, row.lease)

    def answer(self, annotator: str, lease: str, uuid: str, given: Given, same: Same) -> None:
        """Take a person's opinion, once: the same ``uuid`` again changes nothing. It is on disk when this returns.

        Args:
            same: tells which of some answers one is; called before the transaction, so it may take its time.

        Raises:
            UnknownLease: this person was never given that question.
            Conflict: the lease was answered under another ``uuid``, or there is no such choice.
        """
        with self.ledger.reading() as connection:
            if _kept(connection, uuid, lease) is not None:
                return
            row = _lease(connection, annotator, lease)
            candidates = json.loads(_content(connection, row.item).candidates)
            known = _known(connection, row)
        reading = taking.read(given, candidates, same, known)
        with self.ledger.books() as books:
            if _kept(books.connection, uuid, lease) is not None:
                return
            row = _lease(books.connection, annotator, lease)
            if _is_answered(books.connection, row):
                raise Conflict("you have answered this question: undo that answer first")
            taking.keep(books, row, uuid, given, reading, _settings(books.connection), self._clock())

    def undo(self, annotator: str, uuid: str) -> InboxItem:
        """Give a person the question of one of their answers again; called again, under the same lease.

        Raises:
            UnknownLease: there is no such answer of this person.
            Conflict: it was taken back and answered anew, or its question cannot be opened again.
        """
        with self.ledger.books() as books:
            own = (opinions.c.uuid == uuid) & (opinions.c.annotator == annotator)
            opinion = books.connection.execute(select(opinions).where(own)).first()
            if opinion is None:
                raise UnknownLease("there is no such answer of yours")
            lease = _renewed(books.connection, opinion)
            if lease is None and opinion.standing == "void":
                raise Conflict("that answer was taken back already")
            lease = lease or taking.take_back(books, opinion, _settings(books.connection), self._clock())
            said = Before(choice=opinion.choice, typed=opinion.typed)
            return _item(books.connection, lease).model_copy(update={"before": said})

    def item(self, annotator: str, lease: str) -> InboxItem:
        """A question that a person was given.

        Raises:
            UnknownLease: this person was never given that question.
        """
        with self.ledger.reading() as connection:
            return _item(connection, _lease(connection, annotator, lease).lease)

    # --- how things stand

    def stats(self, annotator: str | None = None) -> Stats:
        """How things stand, with the share of one person if one is named."""
        with self.ledger.reading() as connection:
            return views.stats(connection, _settings(connection), annotator, self._clock())

    def overview(self) -> Overview:
        """What the owner of the run sees."""
        with self.ledger.reading() as connection:
            return views.overview(connection, _settings(connection), self._clock())

    def items(self, after: int = 0, limit: int = 100, state: str | None = None) -> Listing:
        """A page of the run's questions, from a cursor on."""
        with self.ledger.reading() as connection:
            return views.listing(connection, after, limit, state)

    def export(self) -> Iterator[dict[str, Any]]:
        """One row per opinion with its provenance, as of the first ``next``, without loading them all."""
        with self.ledger.reading() as connection:
            yield from views.exported(connection, _settings(connection))

    # --- inside of a transaction

    def _ask(self, books: Books, terms: PurchaseTerms, run: Settings, query: str, question: Question) -> Reply:
        reservation = books.reserve(terms, query, question.prompt.id)
        if reservation.outcome is Outcome.EXHAUSTED:
            return Refused(BUDGET_SPENT)
        if reservation.label is not None:
            return reservation.label
        if reservation.outcome is Outcome.RESERVED:
            self._open(books.connection, run, terms.step, query, question)
        return Asked(reservation.query_id)

    def _open(self, connection: Connection, run: Settings, step: int, query: str, question: Question) -> None:
        """A new question; or one that was withdrawn or expired, and that the same step of a resumed run asks again."""
        now, item = self._clock(), handing.digest(query)
        values = {
            "item": item,
            "query_id": query,
            "prompt_id": question.prompt.id,
            "step": step,
            "priority": question.priority,
            "state": "open",
            "asked_at": now,
            "expires_at": None if run.expires_s is None else now + run.expires_s,
        }
        known = connection.execute(select(questions.c.item).where(questions.c.item == item)).first()
        if known is not None:
            connection.execute(update(questions).where(questions.c.item == item).values(**values))
            return
        connection.execute(insert(questions).values(**values, needed=run.opinions, given=0, skips=0))
        solutions = [*question.solutions, *[""] * len(question.candidates)][: len(question.candidates)]
        _write_content(connection, item, question.prompt.text, question.candidates, solutions)

    def _add_gold(self, connection: Connection, gold: GoldQuestion) -> None:
        item = handing.digest(f"gold/{gold.prompt}")
        connection.execute(delete(questions).where(questions.c.item == item))
        connection.execute(delete(contents).where(contents.c.item == item))
        times = {"step": 0, "priority": 0.0, "asked_at": self._clock(), "needed": 0, "given": 0, "skips": 0}
        names = {"item": item, "query_id": f"gold/{item}", "prompt_id": f"gold/{item}", "gold": gold.label}
        connection.execute(insert(questions).values(**names, **times, state="open"))
        _write_content(connection, item, gold.prompt, gold.candidates, ["" for _ in gold.candidates])

    def _next(
        self, connection: Connection, annotator: str, run: Settings | None, now: float, holding: Sequence[str]
    ) -> tuple[str, LeasePurpose] | None:
        """Question and purpose of what a person gets next; None where there is no work."""
        found = handing.following(connection, annotator, now, holding)
        if found is None:
            return None
        seen = handing.seen(connection, annotator)
        check = handing.check(connection, annotator, run.checks, seen) if run is not None and run.checks else None
        return check or (found, "question")


def _settings(connection: Connection) -> Settings | None:
    value = connection.execute(select(settings.c.value)).scalar()
    return None if value is None else Settings.model_validate_json(value)


def _registered(connection: Connection) -> Settings:
    found = _settings(connection)
    if found is None:
        raise Conflict("no run has registered here yet: register, then ask")
    return found


def _replacing(table: Any, row: dict[str, Any], key: str) -> Any:
    return upsert(table).values(**row).on_conflict_do_update(index_elements=[key], set_=row)


def _closed(connection: Connection, prompt_ids: Sequence[str]) -> dict[str, Reply]:
    """Refusals for the prompts that people could not answer."""
    query = select(questions.c.prompt_id, questions.c.state).where(questions.c.state.in_(tuple(CLOSED)))
    found = [connection.execute(query.where(questions.c.prompt_id.in_(part))).all() for part in chunks(prompt_ids)]
    return {prompt_id: Refused(CLOSED[state]) for rows in found for prompt_id, state in rows}


def _leases_of(connection: Connection, annotator: str, names: Sequence[str]) -> Sequence[Row[Any]]:
    own = leases.c.lease.in_(names) & (leases.c.annotator == annotator)
    return connection.execute(select(leases).where(own)).all()


def _lease(connection: Connection, annotator: str, lease: str) -> Row[Any]:
    rows = _leases_of(connection, annotator, [lease])
    if not rows:
        raise UnknownLease("you were not given that question: take the next one")
    return rows[0]


def _renewed(connection: Connection, opinion: Row[Any]) -> str | None:
    """The lease that taking this opinion back gave before, as long as it is in its holder's hands."""
    first = select(leases.c.number).where(leases.c.lease == opinion.lease).scalar_subquery()
    same = (leases.c.item == opinion.item) & (leases.c.annotator == opinion.annotator)
    later = is_live & same & (leases.c.purpose == opinion.purpose) & (leases.c.number > first)
    return connection.execute(select(leases.c.lease).where(later)).scalar()


def _kept(connection: Connection, uuid: str, lease: str) -> Row[Any] | None:
    """The opinion of a ``uuid``, if it is there."""
    row = connection.execute(select(opinions.c.lease).where(opinions.c.uuid == uuid)).first()
    if row is not None and row.lease != lease:
        raise Conflict("this uuid is that of an answer to another question: make a new one for each answer")
    return row


def _is_answered(connection: Connection, lease: Row[Any]) -> bool:
    """Whether this lease, or another of the same person and question, has its answer."""
    own = (opinions.c.item == lease.item) & (opinions.c.annotator == lease.annotator)
    stands = own & (opinions.c.purpose == lease.purpose) & opinions.c.standing.in_(("counts", "late"))
    answered = opinions.c.lease == lease.lease
    found = select(opinions.c.uuid).where(answered if lease.amends is not None else answered | stands)
    return connection.execute(found.limit(1)).first() is not None


def _known(connection: Connection, lease: Row[Any]) -> str | None:
    """What the answer to a check should be: the gold answer, or what the same person said first."""
    if lease.purpose == "gold":
        return str(connection.execute(select(questions.c.gold).where(questions.c.item == lease.item)).scalar_one())
    if lease.purpose == "question":
        return None
    first = (opinions.c.item == lease.item) & (opinions.c.annotator == lease.annotator) & opinions.c.answer.is_not(None)
    said: str | None = connection.execute(select(opinions.c.answer).where(first).limit(1)).scalar()
    return said


def _write_content(
    connection: Connection, item: str, prompt: str, candidates: Sequence[str], solutions: Sequence[str]
) -> None:
    lists = {"candidates": json.dumps(candidates), "solutions": json.dumps(solutions)}
    connection.execute(insert(contents).values(item=item, prompt=prompt, **lists))


def _content(connection: Connection, item: str) -> Row[Any]:
    return connection.execute(select(contents).where(contents.c.item == item)).one()


def _item(connection: Connection, lease: str) -> InboxItem:
    """A question as its holder sees it."""
    row = connection.execute(select(leases).where(leases.c.lease == lease)).one()
    content = _content(connection, row.item)
    pairs = enumerate(zip(json.loads(content.candidates), json.loads(content.solutions), strict=True))
    shown = [Shown(choice=number, text=text, solution=solution) for number, (text, solution) in pairs]
    shown.sort(key=lambda one: handing.share_of(f"{row.item}/{row.annotator}/{one.choice}"))
    return InboxItem(
        lease=lease,
        item=row.item,
        prompt=content.prompt,
        amends=row.amends is not None,
        expires_at=row.expires_at,
        answers=tuple(shown),
    )
