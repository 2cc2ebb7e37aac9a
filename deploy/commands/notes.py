"""What the look at a config found that is legal and probably not meant."""

from collections.abc import Iterable

from rich.console import Console
from rich.text import Text

from effrl.report.show import printable


def tell_notes(notes: Iterable[str], console: Console) -> None:
    """Print a line each."""
    for note in notes:
        console.print(Text(f"note: {printable(note)}", "yellow"), soft_wrap=True)
