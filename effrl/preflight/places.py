"""Whether a run can write where it is to write, tried before anything is started: its storage, and its ledger.

Nodes look for models and for the run directory themselves, before their workers start (``actors.node``). The storage
and the ledger are the driver's machine's alone.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import urlopen

from effrl.config.schema import Config
from effrl.errors import UserError, one_line
from effrl.run.storage import Storage

INBOX_S = 10.0
"""How long an inbox may take to say that it is there."""


def check_places(config: Config) -> None:
    """Write, read, list and delete where the run will.

    Raises:
        UserError: one line on what cannot be done, and where.
    """
    if config.run.storage is not None:
        Storage(config.run.storage.url).probe()
    if config.label.is_remote:
        _check_inbox(str(config.label.ledger))
    elif config.label.ledger_file is not None:
        _check_ledger(config.label.ledger_file)


def _check_ledger(file: Path) -> None:
    """That a database in WAL mode works beside the ledger: it does not on most shared drives."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with (
            TemporaryDirectory(prefix=".effrl-", dir=file.parent) as folder,
            closing(sqlite3.connect(Path(folder, "probe.sqlite"))) as connection,
        ):
            mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
            connection.execute("CREATE TABLE probe (number INTEGER)")
            connection.commit()
    except (OSError, sqlite3.Error) as error:
        raise UserError(
            f"label.ledger: cannot write to {file.parent} ({one_line(error)}): name another place"
        ) from error
    if mode != "wal":
        raise UserError(f"label.ledger: SQLite's WAL does not work in {file.parent}: name a place on a local disk")


def _check_inbox(url: str) -> None:
    try:
        with urlopen(f"{url.rstrip('/')}/healthz", timeout=INBOX_S):
            return
    except (URLError, OSError) as error:
        raise UserError(
            f"label.ledger: no inbox answers at {url} ({one_line(error)}): start it, or mend the address"
        ) from error
