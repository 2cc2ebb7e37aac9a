"""An inbox whose processes die where they commit, in a file that many random histories share."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from sqlalchemy import event

from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger
from effrl.label.oracle.purchases import metadata


class Died(Exception):
    """The process is gone; what it had not committed is rolled back."""


class Office:
    """One file for all histories of a process: each begins with empty tables, and statements are compiled once."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "ledger.sqlite"
        self.ledger = Ledger(self.path)
        self.now, self.commits, self.dies_at = 0.0, 0, 0
        self.inbox = Inbox(self.ledger, lambda: self.now)
        self.file = sqlite3.connect(self.path)
        event.listen(self.ledger._engine, "commit", self.commit)

    def clear(self) -> None:
        with self.ledger.books() as books:
            for table in metadata.tables.values():
                books.connection.execute(table.delete())

    def commit(self, _connection: object) -> None:
        self.commits += 1
        if self.commits == self.dies_at:
            raise Died

    @contextmanager
    def process(self, death: int | None) -> Iterator[None]:
        """A process that dies at a commit; another one comes after it, with a connection of its own."""
        self.commits, self.dies_at = 0, death or 0
        try:
            yield
        finally:
            if self.dies_at and self.commits >= self.dies_at:
                self.ledger.close()
            self.dies_at = 0


@cache
def office() -> Office:
    return Office()
