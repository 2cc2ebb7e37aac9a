"""Weights that landed in a node's memory and were never freed, since their run was killed in the middle of a publish.

Nobody else frees ``/dev/shm``: gigabytes of each killed run would stay until the machine is restarted.
"""

import fcntl
import os
import re
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

GIVEN_UP_S = 3600.0
"""Age at which files without a lock are nobody's; a publish takes seconds."""


def hold(run: str, folder: Path) -> int:
    """Say that this run lives on this node, and free what runs that do not have left.

    Args:
        run: the name that its files have (:class:`actors.snapshot.Landing`); its own leftovers are freed too.
        folder: where files are memory.

    Returns:
        A descriptor to be kept open: the lock goes with the process, however that dies.
    """
    sweep(folder)
    return _lock(_lock_of(run, folder), fcntl.LOCK_SH)


def sweep(folder: Path) -> None:
    """Free the files of runs of which no process is left on this node."""
    files: dict[str, list[Path]] = defaultdict(list)
    for path in folder.glob("effrl-*"):
        if match := re.match(r"effrl-([0-9a-f]+)[-.]", path.name):
            files[match[1]].append(path)
    for run, paths in files.items():
        with suppress(PermissionError, FileNotFoundError):  # another user's, who sweeps it; or swept by another run
            _sweep_run(_lock_of(run, folder), paths)


def _sweep_run(lock: Path, paths: list[Path]) -> None:
    if not lock.exists():  # of a version that had no locks
        if time.time() - max(path.stat().st_mtime for path in paths) > GIVEN_UP_S:
            _free(paths)
        return
    try:
        descriptor = _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # a process of it lives
    _free([path for path in paths if path != lock])
    lock.unlink()
    os.close(descriptor)


def _free(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _lock_of(run: str, folder: Path) -> Path:
    return folder / f"effrl-{run}.lock"


def _lock(path: Path, kind: int) -> int:
    """The descriptor of a locked file that still has its name: another process may sweep it before it is locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, kind)
            with suppress(FileNotFoundError):
                if os.fstat(descriptor).st_ino == path.stat().st_ino:
                    return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise
        os.close(descriptor)
