"""Taking answers: each once, durable before it is acknowledged, and a label as soon as enough people agree."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.engine import Connection

from effrl.errors import RunError
from effrl.label.oracle import log
from effrl.label.oracle.inbox import leases as handing
from effrl.label.oracle.inbox.messages import Given, QuestionState, Settings
from effrl.label.oracle.inbox.plurality import poll
from effrl.label.oracle.inbox.reliability import reliability, weight
from effrl.label.oracle.inbox.tables import counts, opinions, questions
from effrl.label.oracle.purchases import Books, Outcome, PurchaseTerms, State
from effrl.questions import Answer

MOST_SKIPS = 2
"""A question that so many people passed on has no answer, and is never asked again."""

Same = Callable[[str, Sequence[str]], int | None]
"""An answer and others → the number of the first that is the same in value, or None. May take its time."""


class UnknownLease(RunError):
    """There is no such lease or answer of this person."""


class Conflict(RunError):
    """The question was answered or closed in the meantime."""


@dataclass(frozen=True, slots=True)
class ReadOpinion:
    """What an opinion comes to."""

    choice: int | None
    answer: str | None
    agrees: bool | None = None
    """With the known answer, or with what the same person said before."""


def read(given: Given, candidates: Sequence[str], same: Same, known: str | None) -> ReadOpinion:
    """Find out which candidate an opinion is, and whether it is the known answer.

    Args:
        known: the answer of a gold question, or this person's first answer to a repeated one; None otherwise.

    Raises:
        Conflict: there is no such choice.
    """
    if given.skip is not None:
        return ReadOpinion(None, None, False if known is not None else None)
    choice = given.choice
    if given.typed is not None:
        choice = same(given.typed.strip(), candidates)
    elif choice is not None and choice >= len(candidates):
        raise Conflict(f"there is no answer {choice}: the question has {len(candidates)}")
    answer = str(given.typed).strip() if choice is None else candidates[choice]
    return ReadOpinion(choice, answer, None if known is None else same(answer, [known]) == 0)


def keep(
    books: Books, lease: Row[Any], uuid: str, given: Given, reading: ReadOpinion, settings: Settings | None, now: float
) -> None:
    """Write an opinion down, and settle its question if it was the last one that was needed."""
    connection = books.connection
    question = connection.execute(select(questions).where(questions.c.item == lease.item)).one()
    standing = _standing(lease, question)
    values = {"uuid": uuid, "lease": lease.lease, "item": lease.item, "annotator": lease.annotator, "at": now}
    said = given.model_dump(include={"typed", "skip", "note", "think_ms"})
    found = {"choice": reading.choice, "answer": reading.answer, "agrees": reading.agrees}
    kept = {"purpose": lease.purpose, "standing": standing, "amends": lease.amends}
    connection.execute(insert(opinions).values(**values, **said, **found, **kept))
    handing.end_all(connection, lease.item, lease.annotator)
    if standing == "counts" and lease.purpose == "question":
        assert settings is not None, "a run that asks has registered"
        _count(connection, lease.item, 1, given.skip)
        _settle(books, lease.item, settings)


def take_back(books: Books, opinion: Row[Any], settings: Settings | None, now: float) -> str:
    """Give a person the question again; returns the lease.

    Where the run was told of the answer, the opinion stays, and the next one is kept beside it.

    Raises:
        Conflict: the budget is spent since.
    """
    connection = books.connection
    question = connection.execute(select(questions).where(questions.c.item == opinion.item)).one()
    who = (opinion.item, opinion.annotator, opinion.purpose, now)
    settled = opinion.standing == "counts" and opinion.purpose == "question"
    if opinion.standing == "amendment" or (settled and not _can_reopen(connection, question)):
        return handing.grant(connection, *who, amends=opinion.amends or opinion.uuid)
    connection.execute(update(opinions).where(opinions.c.uuid == opinion.uuid).values(standing="void"))
    if settled:
        assert settings is not None, "a run that asks has registered"
        if question.state != "open":
            _reopen(books, question, settings)
        _count(connection, opinion.item, -1, opinion.skip)
        needed = func.max(settings.opinions, questions.c.given + 1)
        connection.execute(update(questions).where(questions.c.item == opinion.item).values(needed=needed))
    return handing.grant(connection, *who)


def close(connection: Connection, item: str, state: QuestionState, answer: str | None = None, by: str = "") -> None:
    """Give a question its state."""
    values = {"state": state, "answer": answer, "answered_by": by or None}
    connection.execute(update(questions).where(questions.c.item == item).values(**values))


def abandon(books: Books, question: Row[Any], state: QuestionState, reason: str) -> None:
    """Close a question without a label: its cost is free again, and who waits for it is told why."""
    close(books.connection, question.item, state)
    books.load([question.query_id])
    books.refund(question.query_id)
    log.add(books.connection, Answer(question.query_id, question.prompt_id, None, reason=reason))


def reliabilities(connection: Connection, annotators: Sequence[str]) -> dict[str, float]:
    """How far each of these people can be trusted, from gold questions and from questions that several answered."""
    known = counts & opinions.c.agrees.is_not(None) & (opinions.c.purpose != "repeat")
    right = func.sum(func.iif(opinions.c.agrees, 1, 0))
    query = select(opinions.c.annotator, right, func.count()).where(known, opinions.c.annotator.in_(annotators))
    found = {
        name: reliability(right, asked)
        for name, right, asked in connection.execute(query.group_by(opinions.c.annotator))
    }
    return {name: found.get(name, reliability(0, 0)) for name in annotators}


def _standing(lease: Row[Any], question: Row[Any]) -> str:
    if lease.amends is not None:
        return "amendment"
    return "counts" if lease.purpose != "question" or question.state == "open" else "late"


def _count(connection: Connection, item: str, by: int, skip: str | None) -> None:
    column = questions.c.given if skip is None else questions.c.skips
    connection.execute(update(questions).where(questions.c.item == item).values({column: column + by}))


def _settle(books: Books, item: str, settings: Settings) -> None:
    """Close a question if its opinions say so, or ask one person more."""
    connection = books.connection
    question = connection.execute(select(questions).where(questions.c.item == item)).one()
    query = select(opinions.c.annotator, opinions.c.answer, opinions.c.skip)
    said = connection.execute(query.where(opinions.c.item == item, counts, opinions.c.purpose == "question")).all()
    if question.skips >= MOST_SKIPS:
        reasons = ", ".join(sorted({row.skip.replace("_", " ") for row in said if row.skip is not None}))
        abandon(books, question, "skipped", f"people passed on it ({reasons})")
        return
    answers = {row.annotator: row.answer for row in said if row.skip is None}
    found = poll(list(answers.values()), settings.opinions)
    if found.label is not None:
        _pay(books, question, answers, found.label, settings)
    elif not found.more:
        abandon(books, question, "disagreed", f"{len(answers)} people disagree")
    else:
        needed = max(settings.opinions, len(answers) + 1)
        connection.execute(update(questions).where(questions.c.item == item).values(needed=needed))


def _pay(books: Books, question: Row[Any], answers: dict[str, str], label: str, settings: Settings) -> None:
    """Charge the label, close the question, and put it on the log: all of it, or nothing."""
    connection = books.connection
    agree = sorted(name for name, answer in answers.items() if answer == label)
    differ = [name for name in answers if name not in agree]
    counted = _weight(connection, agree, differ) if settings.weigh else 1.0
    close(connection, question.item, "answered", label, ", ".join(agree))
    books.load([question.query_id])
    books.commit(question.query_id, label, ", ".join(agree), counted)
    log.add(connection, Answer(question.query_id, question.prompt_id, label, counted))
    if len(answers) > 1:
        asked = counts & (opinions.c.purpose == "question")  # a repeat agrees with its person, or does not
        own = asked & (opinions.c.item == question.item) & opinions.c.skip.is_(None)
        connection.execute(update(opinions).where(own).values(agrees=opinions.c.answer == label))


def _weight(connection: Connection, agree: Sequence[str], differ: Sequence[str]) -> float:
    trust = reliabilities(connection, [*agree, *differ])
    return weight([trust[name] for name in agree], [trust[name] for name in differ])


def _can_reopen(connection: Connection, question: Row[Any]) -> bool:
    """Whether an opinion on the question can be taken back without a trace: people closed it, and nobody was told.

    What the log has of it is removed here, in the transaction that opens the question again.
    """
    if question.state in ("withdrawn", "expired"):
        return False
    return question.state == "open" or log.take_back(connection, question.query_id)


def _reopen(books: Books, question: Row[Any], settings: Settings) -> None:
    connection = books.connection
    books.load([question.query_id])
    if books.state(question.query_id) is State.COMMITTED:
        books.reopen(question.query_id)
    else:
        terms = PurchaseTerms(settings.source, question.step, settings.price, settings.budget_total)
        books.load_for(terms, {question.query_id: question.prompt_id})
        if books.reserve(terms, question.query_id, question.prompt_id).outcome is not Outcome.RESERVED:
            raise Conflict("the question is closed, and its label cannot be paid any more, or is asked for anew")
    close(connection, question.item, "open")
    connection.execute(
        update(opinions).where(opinions.c.item == question.item, opinions.c.purpose == "question").values(agrees=None)
    )
