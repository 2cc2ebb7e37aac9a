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
    """Open the ledger of a run, or create it in the first attempt.

    Args:
        run: where it lies, unless ``address`` names another place; then the run directory notes that place.
        address: ``label.ledger``.

    Raises:
        UserError: the run's ledger is not there, the one that is there is another run's, or it cannot be opened.
    """
    if address is None:
        return Ledger(run.ledger)
    if run.ledger_note.exists() and not file_of(address).exists():
        raise UserError(
            f"the ledger of {run.path} is not at {address} on {socket.gethostname()}; it was made at"
            f" {run.ledger_note.read_text().strip()}: resume there, or copy it and name its place as label.ledger"
        )
    file_of(address).parent.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(address)
    if not run.ledger_note.exists():
        if next(ledger.rows(), None) is not None:
            ledger.close()
            raise UserError(f"{address} holds the labels of another run: name a file of its own as label.ledger")
        run.ledger_note.write_text(f"{address} on {socket.gethostname()}\n")
    return ledger
