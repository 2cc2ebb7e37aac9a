"""``label.reuse``: labels that earlier runs bought, for nothing and with where they come from."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from effrl.errors import UserError
from effrl.label.oracle.ledger import Ledger
from effrl.label.oracle.purchases import REUSED, Purchase, State
from effrl.run.directory import RunDirectory


def reuse(ledger: Ledger, sources: Sequence[Path]) -> int:
    """Take over what the ledgers of these runs, or these ledgers, hold; safe to repeat.

    A label goes by the id of its prompt, keeps its source, and costs nothing. Of several runs that bought one, the
    first counts.

    Returns:
        Labels that came into the ledger.

    Raises:
        UserError: there is no ledger.
    """
    return sum(ledger.adopt(_bought(source)) for source in sources)


def _bought(source: Path) -> list[Purchase]:
    path = RunDirectory(source).ledger if source.is_dir() else source
    if not path.is_file():
        raise UserError(f"label.reuse: there is no ledger at {path}: name a run that bought labels, or its ledger file")
    other = Ledger(path)
    bought = [_adopted(line, path) for line in other.rows() if line.state is State.COMMITTED]
    other.close()
    return bought


def _adopted(line: Purchase, path: Path) -> Purchase:
    came = f"{line.answered_by} ({path})"
    return replace(line, query_id=f"reused/{line.query_id}", step=REUSED, cost=0.0, answered_by=came)
