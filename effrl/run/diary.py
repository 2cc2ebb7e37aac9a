"""What the terminal was told of a run, kept with the time of each line: the log of the driver, which has no other."""

from datetime import UTC, datetime
from pathlib import Path


class Diary:
    """Appends lines to a file, which a traceback may stand in, too."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, text: str) -> None:
        """Keep what was said, with the time in UTC: ``2026-01-31T12:00:00Z step 5/60  reward 0.41``."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}\n")
