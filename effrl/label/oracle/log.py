"""The log of late answers: one row when a question is closed, in the order in which a run is told, by a cursor."""

from collections.abc import Sequence

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    Table,
    Text,
    delete,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.engine import Connection

from effrl.label.oracle.purchases import metadata
from effrl.questions import Answer

answers = Table(
    "answers",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("query_id", Text, nullable=False),
    Column("prompt_id", Text, nullable=False),
    Column("answer", Text),
    Column("weight", Float, nullable=False),
    Column("reason", Text, nullable=False),
    Column("told", Boolean, nullable=False),
    sqlite_autoincrement=True,  # a number is never given twice: a cursor may stand behind a row that was taken back
)
_untold = answers.c.told == literal_column("0")
Index("untold", answers.c.number, sqlite_where=_untold)
Index("by_query", answers.c.query_id)


def add(connection: Connection, answer: Answer) -> None:
    """Write down how a question was closed."""
    row = {"query_id": answer.query, "prompt_id": answer.prompt_id, "answer": answer.answer}
    connection.execute(insert(answers).values(**row, weight=answer.weight, reason=answer.reason, told=False))


def take_back(connection: Connection, query: str) -> bool:
    """Remove what no run was told yet; False where one was, or there is nothing."""
    return connection.execute(delete(answers).where(answers.c.query_id == query, _untold)).rowcount > 0


def news(connection: Connection, after: int) -> bool:
    """Whether there is anything after a cursor."""
    return connection.execute(select(answers.c.number).where(answers.c.number > after).limit(1)).first() is not None


def tell(connection: Connection, after: int) -> tuple[int, list[Answer]]:
    """What comes after a cursor, and the cursor to go on from. From now on it cannot be taken back."""
    later = answers.c.number > after
    rows: Sequence[tuple[int, str, str, str | None, float, str]] = [
        tuple(row) for row in connection.execute(select(*answers.c[:6]).where(later).order_by(answers.c.number))
    ]
    connection.execute(update(answers).where(later, _untold).values(told=True))
    return max((row[0] for row in rows), default=after), [Answer(*row[1:]) for row in rows]
