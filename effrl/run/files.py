"""Files of a checkpoint: brought to disk and hashed by who wrote them, compared by who reads them.

The digest of a file is made where it was written: a disk that only one node sees looks like an empty one from another.
"""

import gzip
import json
import os
import socket
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from effrl.errors import UserError
from effrl.saved import SavedFile

THREADS = 8
"""Files that are hashed at a time; hashing and reading leave Python to others."""
CHUNK = 2**20


def written(root: Path, paths: Iterable[Path]) -> dict[str, SavedFile]:
    """Bring files to disk and hash them; call it in the process that wrote them, and never in an event loop.

    Returns:
        What a part says that it wrote (:class:`effrl.types.Saved`), by path below ``root``.
    """
    chosen = sorted(paths)
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(partial(_written, socket.gethostname()), chosen)
        return {str(path.relative_to(root)): file for path, file in zip(chosen, found, strict=True)}


def unseen(root: Path, files: Mapping[str, SavedFile]) -> list[str]:
    """Return the names of the files that are not below ``root`` at their sizes, as it is seen from here."""
    return [name for name, file in files.items() if _size(root / name) != file.size]


def damaged(root: Path, files: Mapping[str, SavedFile]) -> list[str]:
    """Return the names of the files whose content below ``root`` is not what was written, the missing ones included."""
    chosen = list(files.items())
    with ThreadPoolExecutor(THREADS) as pool:
        sound = pool.map(lambda entry: _is_sound(root / entry[0], entry[1]), chosen)
        return [name for (name, _), whole in zip(chosen, sound, strict=True) if not whole]


def sync(path: Path) -> None:
    """Bring a file, or the names in a directory, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A draft to write that takes the place of ``path`` at the end: the file is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    yield draft
    sync(draft)
    draft.replace(path)
    sync(path.parent)


def copied(path: Path, to: Path, size: int) -> SavedFile:
    """Copy the first ``size`` bytes of a file that may grow meanwhile, and say what they are.

    Raises:
        OSError: there are fewer.
    """
    digest, left = blake2b(digest_size=16), size
    with path.open("rb") as source, to.open("wb") as target:
        while left:
            if not (chunk := source.read(min(left, CHUNK))):
                raise OSError(f"{path} has become shorter than {size} bytes")
            digest.update(chunk)
            target.write(chunk)
            left -= len(chunk)
    return SavedFile(size, digest.hexdigest())


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write JSON-serialisable state that may be large; the same state gives the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(state).encode(), compresslevel=1, mtime=0))


def read_state(path: Path) -> dict[str, Any]:
    """Read what :func:`write_state` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        state: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"{path} is missing or damaged: resume from another checkpoint") from error
    return state


def _written(host: str, path: Path) -> SavedFile:
    sync(path)
    return SavedFile(path.stat().st_size, _digest(path), host)


def _is_sound(path: Path, file: SavedFile) -> bool:
    return _size(path) == file.size and _digest(path) == file.digest


def _size(path: Path) -> int | None:
    """Size of a file, None without one. It is opened, as NFS answers from its cache until then."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size
    except OSError:
        return None


def _digest(path: Path) -> str:
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
