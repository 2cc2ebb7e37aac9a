"""JSON Lines files from their end: what a crash tore is cut off, and what a resume needs is found, without the rest."""

import os
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path


def from_end(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield where each whole line begins, and the line, the last one first; none where there is no file.

    A last line without its newline is torn: the write that a crash cut off had not returned.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        end = content.rfind(b"\n") + 1
        while end > 0:
            start = content.rfind(b"\n", 0, end - 1) + 1
            yield start, content[start:end]
            end = start


def cut(path: Path, size: int) -> None:
    """Leave the first ``size`` bytes of a file, on disk when this returns; nothing where there is no more."""
    if path.exists() and path.stat().st_size > size:
        with path.open("rb+") as file:
            file.truncate(size)
            os.fsync(file.fileno())


def trim(path: Path) -> None:
    """Cut off a torn last line, or the next record would be glued to it."""
    cut(path, next((start + len(line) for start, line in from_end(path)), 0))
