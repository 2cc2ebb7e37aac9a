"""Handing questions out: nobody gets one twice, and no more people work at one than its label needs."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, exists, func, insert, select, update
from sqlalchemy.engine import Connection, Row

from effrl.label.oracle.inbox.messages import LeasePurpose
from effrl.label.oracle.inbox.tables import counts, for_people, is_live, is_open, leases, opinions, questions

SHORTEST_S, LONGEST_S, FIRST_S = 120.0, 900.0, 300.0
"""Bounds of a lease, and its length before anybody has answered."""
PATIENCE = 3.0
"""A lease lasts so many times as long as people usually think."""
RECENT = 100
"""Latest answers that tell how long that is."""
REPEAT_AFTER = 20
"""Answers after which a person may get a question again: silently, to see whether the answer is the same."""


def lease_time(connection: Connection) -> float:
    """Seconds until a question goes to somebody else, unless its holder shows signs of life."""
    timed = select(opinions.c.think_ms).where(opinions.c.skip.is_(None), opinions.c.think_ms > 0)
    times = list(connection.execute(timed.order_by(opinions.c.number.desc()).limit(RECENT)).scalars())
    usual = PATIENCE * median(times) / 1000 if times else FIRST_S
    return min(max(usual, SHORTEST_S), LONGEST_S)


def held(connection: Connection, annotator: str, now: float) -> Sequence[Row[Any]]:
    """The leases of a person that have not run out, the oldest first."""
    live = is_live & (leases.c.annotator == annotator) & (leases.c.expires_at > now)
    return connection.execute(select(leases).where(live).order_by(leases.c.number)).all()


def is_wanted(annotator: str, now: float) -> ColumnElement[bool]:
    """Whether an open question still needs this person, beside those who have answered it or hold it now."""
    others = is_live & (leases.c.item == questions.c.item) & (leases.c.expires_at > now)
    at_work = select(func.count()).where(others, leases.c.annotator != annotator).scalar_subquery()
    said = (opinions.c.item == questions.c.item) & (opinions.c.annotator == annotator)
    answered = exists().where(said, opinions.c.standing.in_(("counts", "late")))
    return is_open & for_people & (questions.c.given + at_work < questions.c.needed) & ~answered


def following(connection: Connection, annotator: str, now: float, holding: Sequence[str]) -> str | None:
    """The question that a person gets next, by the labeller's priority; None where there is no work.

    Args:
        holding: leases that are in the person's hands although they may have run out.
    """
    order = (questions.c.priority.desc(), questions.c.step.desc(), questions.c.number)
    in_hand = (leases.c.expires_at > now) | leases.c.lease.in_(holding)
    own = exists().where(is_live, leases.c.item == questions.c.item, leases.c.annotator == annotator, in_hand)
    found = select(questions.c.item).where(is_wanted(annotator, now), ~own).order_by(*order).limit(1)
    item: str | None = connection.execute(found).scalar()
    return item


def check(connection: Connection, annotator: str, share: float, seen: int) -> tuple[str, LeasePurpose] | None:
    """A gold question or a repeat in place of a new one, where the draw for this place falls on it.

    Args:
        share: of either kind.
        seen: questions that the person has got so far, which numbers the draw.
    """
    draw = share_of(f"{annotator}/{seen}")
    if draw < share:
        return _gold(connection, annotator)
    return _repeat(connection, annotator) if draw < 2 * share else None


def seen(connection: Connection, annotator: str) -> int:
    """Questions that a person has got so far."""
    return connection.execute(select(func.count()).where(leases.c.annotator == annotator)).scalar_one()


def grant(
    connection: Connection, item: str, annotator: str, purpose: LeasePurpose, now: float, amends: str | None = None
) -> str:
    """Give a person a question; returns the lease, which names the pair and the time it is tried.

    It takes the place of one that ran out.
    """
    end_all(connection, item, annotator)
    tries = select(func.count()).where(leases.c.item == item, leases.c.annotator == annotator)
    lease = digest(f"{item}/{annotator}/{connection.execute(tries).scalar_one()}")
    values = {"item": item, "annotator": annotator, "purpose": purpose, "since": now, "amends": amends, "live": True}
    ends = now + lease_time(connection)
    connection.execute(insert(leases).values(lease=lease, expires_at=ends, **values))
    return lease


def prolong(connection: Connection, row: Row[Any], now: float) -> float | None:
    """A sign of life; returns when the lease runs out now, None where the question has gone to somebody else."""
    if row.expires_at <= now and row.purpose == "question" and row.amends is None:
        still = select(questions.c.item).where(questions.c.item == row.item, is_wanted(row.annotator, now))
        if connection.execute(still).first() is None:
            return None
    ends = now + lease_time(connection)
    connection.execute(update(leases).where(leases.c.lease == row.lease).values(expires_at=ends))
    return ends


def end(connection: Connection, lease: str) -> None:
    """The question was given back."""
    connection.execute(update(leases).where(leases.c.lease == lease).values(live=False))


def end_all(connection: Connection, item: str, annotator: str) -> None:
    """None of a person's leases of a question holds any more: it was answered, or is given anew."""
    own = is_live & (leases.c.item == item) & (leases.c.annotator == annotator)
    connection.execute(update(leases).where(own).values(live=False))


def digest(text: str) -> str:
    """A short name that says nothing."""
    return blake2b(text.encode(), digest_size=9).hexdigest()


def share_of(text: str) -> float:
    """A number in [0, 1) that a text always gives."""
    return int.from_bytes(blake2b(text.encode(), digest_size=7).digest(), "big") / 2**56


def _gold(connection: Connection, annotator: str) -> tuple[str, LeasePurpose] | None:
    """One that this person has not seen, in an order of their own."""
    seen = exists().where(leases.c.item == questions.c.item, leases.c.annotator == annotator)
    unseen = select(questions.c.item).where(~for_people, ~seen)
    items: Iterator[str] = connection.execute(unseen).scalars()
    chosen = min(items, key=lambda item: share_of(f"{item}/{annotator}"), default=None)
    return None if chosen is None else (chosen, "gold")


def _repeat(connection: Connection, annotator: str) -> tuple[str, LeasePurpose] | None:
    """The oldest question that this person answered long ago, and was not given again since."""
    own = counts & (opinions.c.annotator == annotator) & opinions.c.skip.is_(None)
    answered = select(opinions.c.item).where(own, opinions.c.purpose == "question").order_by(opinions.c.number.desc())
    again = exists().where(
        leases.c.item == opinions.c.item, leases.c.annotator == annotator, leases.c.purpose == "repeat"
    )
    old = answered.offset(REPEAT_AFTER).subquery()
    found = connection.execute(
        select(opinions.c.item)
        .where(own, opinions.c.purpose == "question", opinions.c.item.in_(select(old.c.item)), ~again)
        .order_by(opinions.c.number)
        .limit(1)
    ).scalar()
    return None if found is None else (found, "repeat")
