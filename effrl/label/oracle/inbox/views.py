"""How things stand: for one person, for the owner of a run, and as rows to take away."""

import json
from collections.abc import Iterator
from statistics import median
from typing import Any

from sqlalchemy import Row, case, func, select
from sqlalchemy.engine import Connection

from effrl.label.oracle.inbox.messages import Annotator, Listed, Listing, OpenLease, Overview, Settings, Stats
from effrl.label.oracle.inbox.opinions import reliabilities
from effrl.label.oracle.inbox.tables import (
    contents,
    counts,
    for_people,
    is_closed,
    is_live,
    is_open,
    leases,
    opinions,
    questions,
    waiting,
)
from effrl.label.oracle.purchases import total_cost

HOUR_S = 3600.0
RECENT = 100
"""Latest answers of a person whose times are looked at."""


def stats(connection: Connection, settings: Settings | None, annotator: str | None, now: float) -> Stats:
    """How things stand, with the share of one person if one is named."""
    found = states(connection)
    live = select(func.count()).where(is_live, leases.c.expires_at > now, leases.c.purpose == "question")
    total = settings.budget_total if settings else None
    until = connection.execute(select(waiting.c.until)).scalar()
    waits = until is not None and until > now
    own = counts & (opinions.c.annotator == annotator)
    return Stats(
        open=found.get("open", 0),
        leased=connection.execute(live).scalar_one(),
        answered=found.get("answered", 0),
        budget_total=total,
        budget_left=None if total is None else total - total_cost(connection),
        mine=connection.execute(select(func.count()).where(own)).scalar_one(),
        items_per_hour=connection.execute(select(func.count()).where(own, opinions.c.at > now - HOUR_S)).scalar_one(),
        waiting=waits,
        waiting_until=until if waits else None,
    )


def states(connection: Connection) -> dict[str, int]:
    """Questions of a run by state."""
    still_open = connection.execute(select(func.count()).where(is_open, for_people)).scalar_one()
    closed = select(questions.c.state, func.count()).where(is_closed, for_people).group_by(questions.c.state)
    found = {state: count for state, count in connection.execute(closed)}
    return {"open": still_open, **found} if still_open else found


def overview(connection: Connection, settings: Settings | None, now: float) -> Overview:
    """What the owner of a run sees."""
    live = select(leases).where(is_live, leases.c.expires_at > now).order_by(leases.c.number)
    lately = select(func.count()).where(counts, opinions.c.at > now - HOUR_S)
    people = tuple(annotators(connection))
    shared = sum(one.overlaps for one in people)
    return Overview(
        stats=stats(connection, settings, None, now),
        states=states(connection),
        annotators=people,
        leases=tuple(
            OpenLease(item=row.item, annotator=row.annotator, since=row.since, expires_at=row.expires_at)
            for row in connection.execute(live)
        ),
        answers_per_hour=connection.execute(lately).scalar_one(),
        agreement=sum(one.overlaps_same for one in people) / shared if shared else None,
    )


def annotators(connection: Connection) -> Iterator[Annotator]:
    """What is known of each person, by name."""

    def number(condition: Any) -> Any:
        return func.count(case((condition, 1)))

    def checked(purpose: str) -> list[Any]:
        known = (opinions.c.purpose == purpose) & opinions.c.agrees.is_not(None)
        return [number(known), number(known & opinions.c.agrees)]

    columns = [number(opinions.c.skip.is_(None)), number(opinions.c.skip.is_not(None))]
    columns += [column for purpose in ("gold", "repeat", "question") for column in checked(purpose)]
    query = select(opinions.c.annotator, *columns, func.max(opinions.c.at)).where(counts)
    rows = connection.execute(query.group_by(opinions.c.annotator).order_by(opinions.c.annotator)).all()
    trust = reliabilities(connection, [row[0] for row in rows])
    for name, answers, skips, golds, right, repeats, same, overlaps, overlaps_same, seen in rows:
        yield Annotator(
            name=name,
            answers=answers,
            skips=skips,
            median_think_s=_median_think_s(connection, name),
            gold_asked=golds,
            gold_right=right,
            repeats=repeats,
            repeats_same=same,
            overlaps=overlaps,
            overlaps_same=overlaps_same,
            reliability=trust[name],
            last_seen=seen,
        )


def listing(connection: Connection, after: int, limit: int, state: str | None) -> Listing:
    """A page of the run's questions in the order in which they were asked, from a cursor on."""
    query = select(questions).where(for_people, questions.c.number > after)
    if state is not None:
        query = query.where(is_open) if state == "open" else query.where(is_closed, questions.c.state == state)
    rows = connection.execute(query.order_by(questions.c.number).limit(limit + 1)).all()
    shown = tuple(_listed(row) for row in rows[:limit])
    return Listing(items=shown, next=rows[limit - 1].number if len(rows) > limit else None)


def exported(connection: Connection, settings: Settings | None) -> Iterator[dict[str, Any]]:
    """One row per opinion with all that is known of where it came from, without loading them all."""
    joined = opinions.join(questions, opinions.c.item == questions.c.item).join(
        contents, opinions.c.item == contents.c.item
    )
    asked = [questions.c[name] for name in ("query_id", "prompt_id", "step", "state", "asked_at", "priority")]
    settled = questions.c.answer.label("label")
    query = select(opinions, *asked, settled, contents.c.prompt, contents.c.candidates).select_from(joined)
    rows = connection.execution_options(yield_per=500).execute(query.order_by(opinions.c.number))
    for row in rows:
        record = dict(row._mapping)
        del record["number"]
        yield {"run": settings.run if settings else None, **record, "candidates": json.loads(row.candidates)}


def _median_think_s(connection: Connection, annotator: str) -> float | None:
    own = (opinions.c.annotator == annotator) & opinions.c.skip.is_(None) & (opinions.c.think_ms > 0)
    latest = select(opinions.c.think_ms).where(own).order_by(opinions.c.at.desc())
    times = list(connection.execute(latest.limit(RECENT)).scalars())
    return median(times) / 1000 if times else None


def _listed(row: Row[Any]) -> Listed:
    return Listed(
        item=row.item,
        query=row.query_id,
        prompt_id=row.prompt_id,
        step=row.step,
        state=row.state,
        priority=row.priority,
        asked_at=row.asked_at,
        answer=row.answer,
        answered_by=row.answered_by,
        opinions=row.given,
    )
