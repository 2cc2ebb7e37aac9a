"""The inbox's rows, beside the ledger's. What is long stands in a table of its own: lists never read it."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    literal_column,
)

from effrl.label.oracle.purchases import metadata

settings = Table("inbox_settings", metadata, Column("number", Integer, primary_key=True), Column("value", Text))
"""One row: what the run registered, and until when it waits."""

waiting = Table("inbox_waiting", metadata, Column("number", Integer, primary_key=True), Column("until", Float))
"""One row: until when a step of the run waits for answers."""

questions = Table(
    "inbox_questions",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("item", Text, nullable=False, unique=True),
    Column("query_id", Text, nullable=False, unique=True),
    Column("prompt_id", Text, nullable=False),
    Column("gold", Text),  # the known answer, of a question that measures people
    Column("step", Integer, nullable=False),
    Column("priority", Float, nullable=False),
    Column("state", String(9), nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("needed", Integer, nullable=False),  # opinions that settle it
    Column("given", Integer, nullable=False),  # opinions that count so far
    Column("skips", Integer, nullable=False),
    Column("answer", Text),
    Column("answered_by", Text),
    CheckConstraint("(state = 'answered') = (answer is not null)", name="answer_when_answered"),
)
is_open = questions.c.state == literal_column("'open'")
is_closed = questions.c.state != literal_column("'open'")
for_people = questions.c.gold.is_(None)
# The order in which questions are handed out. SQLite would rather sort all open ones where another index finds them by
# their state: so none does, and each of these has a condition that a query must repeat.
Index(
    "inbox_next",
    questions.c.priority.desc(),
    questions.c.step.desc(),
    questions.c.number,
    sqlite_where=is_open & for_people,
)
Index("inbox_open", questions.c.number, sqlite_where=is_open & for_people)
Index("inbox_closed", questions.c.state, questions.c.number, sqlite_where=is_closed & for_people)
Index("inbox_expiring", questions.c.expires_at, sqlite_where=is_open)
Index("inbox_prompts", questions.c.prompt_id)
Index("inbox_gold", questions.c.number, sqlite_where=questions.c.gold.is_not(None))

contents = Table(
    "inbox_contents",
    metadata,
    Column("item", Text, primary_key=True),
    Column("prompt", Text, nullable=False),
    Column("candidates", Text, nullable=False),  # JSON lists
    Column("solutions", Text, nullable=False),
)

leases = Table(
    "inbox_leases",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("lease", Text, nullable=False, unique=True),
    Column("item", Text, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("purpose", String(8), nullable=False),
    Column("since", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("amends", Text),  # the opinion beside which the next one is kept
)
is_live = leases.c.live == literal_column("1")
Index("inbox_live_items", leases.c.item, leases.c.expires_at, sqlite_where=is_live)
Index("inbox_leases_of", leases.c.annotator, leases.c.item)
Index("inbox_live_people", leases.c.annotator, sqlite_where=is_live)

opinions = Table(
    "inbox_opinions",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("uuid", Text, nullable=False, unique=True),
    Column("lease", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("purpose", String(8), nullable=False),
    Column("choice", Integer),
    Column("typed", Text),
    Column("answer", Text),  # what it comes to; none where it was skipped
    Column("skip", Text),
    Column("note", Text, nullable=False),
    Column("think_ms", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("standing", String(9), nullable=False),  # counts, late, amendment or void
    Column("agrees", Boolean),  # with what is known, said before, or settled by several
    Column("amends", Text),
)
counts = opinions.c.standing == literal_column("'counts'")
Index("inbox_item_opinions", opinions.c.item)
Index("inbox_people", opinions.c.annotator, opinions.c.at)
Index("inbox_times", opinions.c.at)
