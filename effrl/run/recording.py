"""Spans on disk: while a run is profiled, its driver and each of its actors append to a file of their own."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from effrl.run import metrics
from effrl.run.timeline import DRIVER, Span

MARK = "recording"
"""A file that lies in the profile's folder while spans are recorded: actors look for it when they start."""


class SpanFile:
    """Appends to a JSON Lines file; what was appended is there after the process was killed."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")

    def append(self, spans: Iterable[Span]) -> None:
        self._file.write("".join(json.dumps(asdict(span)) + "\n" for span in spans))
        self._file.flush()


def begin(folder: Path) -> None:
    """Have the actors that start from now on record; spans of an earlier attempt are removed."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.jsonl"):
        old.unlink()
    (folder / MARK).touch()


def end(folder: Path) -> None:
    """Have actors record no more, also where a run that was killed has left the mark."""
    (folder / MARK).unlink(missing_ok=True)


def spans_of(folder: Path, role: str) -> SpanFile | None:
    """Where a role appends its spans; None where nothing is recorded."""
    return SpanFile(folder / f"{role}.jsonl") if (folder / MARK).exists() else None


def recorded(folder: Path) -> tuple[list[Span], list[Span]]:
    """What the driver saw, and what the actors measured themselves."""
    found = {path.stem: [Span(**row) for row in metrics.read(path)] for path in sorted(folder.glob("*.jsonl"))}
    seen = found.pop(DRIVER, [])
    return seen, [span for spans in found.values() for span in spans]
