"""Where the ledger of a run lies, and that it is there and nobody else's.

A run directory may be on a network drive, where SQLite's WAL does not work; then ``label.ledger`` names a file on a
local disk. That file stays behind when the run directory is moved, or seen from another machine. With an empty ledger
in its place a run would buy its labels a second time, and with that of another run it would pay for those.
"""

import socket

from effrl.errors import UserError
from effrl.label.oracle.ledger import Ledger, file_of
from effrl.run.directory import RunDirectory


def open_ledger(run: RunDirectory, address: str | None) -> Ledger:
    """Open the ledger of a run, or create it where nothing was bought yet.

    Args:
        run: where it lies, unless ``address`` names another place.
        address: ``label.ledger``.

    Raises:
        UserError: the run's ledger is not there, the one that is there is another run's, or it cannot be opened.
    """
    place = address or str(run.ledger)
    has_bought = run.ledger_note.exists()
    if has_bought and not file_of(place).exists():
        raise UserError(
            f"the ledger of {run.path} is not at {place} on {socket.gethostname()}; it was at"
            f" {run.ledger_note.read_text()}: resume there, or copy it and name its place as label.ledger"
        )
    file_of(place).parent.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(place)
    if address is not None and not has_bought and next(ledger.rows(), None) is not None:
        ledger.close()
        raise UserError(f"{place} holds the labels of another run: name a file of its own as label.ledger")
    return ledger


def note_place(run: RunDirectory, address: str | None) -> None:
    """Note in the run directory, before something is bought, where its ledger is."""
    note = f"{address or run.ledger} on {socket.gethostname()}"
    if not run.ledger_note.exists() or run.ledger_note.read_text() != note:
        run.ledger_note.write_text(note)
