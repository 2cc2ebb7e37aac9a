"""What of a run directory is worth keeping elsewhere, as it is at one moment.

All of it but what is hidden, unfinished, or a checkpoint that is neither the newest nor the best. Files of a checkpoint
never change, and who wrote one has hashed it; all others only grow, or are replaced as a whole, so that the first bytes
of a file are the whole file of a while ago. The ledger is copied as a database is: its file alone may lack what was
bought last.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator, Set
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from effrl.run.checkpoint import Checkpoints, read_manifest
from effrl.run.directory import RunDirectory
from effrl.run.files import copied, written
from effrl.saved import SavedFile

_UNFINISHED = (".part", ".draft", ".part.npz")
_SENDS_ITSELF = "wandb"
"""Folder of Weights & Biases, which comes and goes as it likes."""
STAGED = ".staged"
"""Folder of a run directory for copies that are on their way."""


@dataclass(frozen=True, slots=True)
class RunFile:
    """A file of a run, as it was when it was looked at."""

    path: Path
    size: int
    changed: int
    """Of the file system, in nanoseconds."""
    known: SavedFile | None = None
    """Of a checkpoint's file, what its manifest says."""


def contents(run: RunDirectory, keep: int = 1) -> dict[str, RunFile]:
    """Every file that is worth keeping but the ledger, by its name in the run directory.

    Raises:
        UserError: the manifest of a checkpoint is damaged.
    """
    checkpoints = Checkpoints(run.checkpoints, keep)
    best = checkpoints.best()
    wanted = {*checkpoints.steps()[-1:], *([best[0]] if best else [])}
    known = {
        f"{run.checkpoints.name}/step_{step}/{name}": file
        for step in wanted
        for name, file in read_manifest(run.checkpoints / f"step_{step}").files.items()
    }
    others = {run.checkpoints / f"step_{step}" for step in checkpoints.steps() if step not in wanted}
    found = {}
    for path in _files(run.path, others | {run.path / _SENDS_ITSELF}):
        name, status = str(path.relative_to(run.path)), path.stat()
        if not name.startswith(run.ledger.name):
            found[name] = RunFile(path, status.st_size, status.st_mtime_ns, known.get(name))
    return found


def _files(folder: Path, leave_out: Set[Path]) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and Path(place, name) not in leave_out]
        for name in names:
            path = Path(place, name)
            if not name.startswith(".") and not name.endswith(_UNFINISHED) and not path.is_symlink():
                yield path


@dataclass
class Staging:
    """Copies of what may change while it is on its way, and what is known of files that did not change since."""

    folder: Path
    _known: dict[tuple[Path, int, int], SavedFile] = field(default_factory=dict)
    _copies: int = 0

    def of(self, content: RunFile, stored: Set[str]) -> tuple[Path | None, SavedFile]:
        """Where to read a file from, and what it is; no place where its digest is among the stored ones.

        Raises:
            OSError: it is gone, or shorter than it was.
        """
        key = (content.path, content.size, content.changed)
        known = content.known or self._known.get(key)
        if known is not None and known.digest in stored:
            return None, known
        if content.known is not None:
            return content.path, content.known
        copy = self._new()
        file = self._known[key] = copied(content.path, copy, content.size)
        return copy, file

    def ledger(self, path: Path) -> tuple[Path, SavedFile] | None:
        """A copy of a ledger as of now; None where there is none yet."""
        if not path.exists():
            return None
        copy = self._new()
        with closing(sqlite3.connect(path)) as ledger, closing(sqlite3.connect(copy)) as backup:
            ledger.backup(backup)
        return copy, written(self.folder, [copy])[copy.name]

    def clear(self) -> None:
        """Delete all copies."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _new(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._copies += 1
        return self.folder / str(self._copies)
