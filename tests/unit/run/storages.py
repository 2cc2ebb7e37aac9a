"""Stand-ins for an object store: one that dies at a given call, tears what it was writing, and lists late."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from effrl.run.directory import RunDirectory
from effrl.run.storage import Storage


class Died(BaseException):
    """The process was killed: nothing of it catches this."""


class Unreliable(MemoryFileSystem):
    """Objects in memory; what can go wrong is set on the class, as fsspec makes the instances."""

    protocol = "unreliable"
    store: dict[str, Any] = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    cachable = False

    calls = 0
    """Writes and deletions so far."""
    dies_at: int | None = None
    """The call that does not return."""
    torn = False
    """Whether a write that does not return leaves the first half of the object, as a disk does."""
    late = 0
    """Calls after which a listing knows of a write or a deletion."""
    history: list[tuple[int, str, bool]] = []  # noqa: RUF012
    before: Callable[[str], None] = staticmethod(lambda path: None)
    """Is told of each write before it happens."""

    @classmethod
    def reset(cls) -> None:
        cls.store, cls.pseudo_dirs, cls.history = {}, [""], []
        cls.calls, cls.dies_at, cls.torn, cls.late, cls.before = 0, None, False, 0, staticmethod(lambda path: None)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("unreliable://", "memory://")))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        type(self).before(path)
        if self._dies():
            if self.torn:
                super().pipe_file(path, value[: len(value) // 2])
                self.history.append((self.calls, path, True))
            raise Died
        super().pipe_file(path, value)
        self.history.append((self.calls, path, True))

    def put_file(self, lpath: Any, rpath: Any, *args: Any, **kwargs: Any) -> None:
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def rm_file(self, path: str) -> None:
        path = self._strip_protocol(path)
        if self._dies():
            raise Died
        if path not in self.store:
            raise FileNotFoundError(path)
        del self.store[path]
        self.history.append((self.calls, path, False))

    def rm(self, path: Any, *args: Any, **kwargs: Any) -> None:
        for one in path if isinstance(path, list) else [path]:
            self.rm_file(one)

    def find(self, path: str, *args: Any, **kwargs: Any) -> list[str]:
        seen = dict[str, bool]()
        for call, name, there in self.history:
            if call + self.late <= self.calls:
                seen[name] = there
        prefix = f"{self._strip_protocol(path)}/"
        return [name for name, there in seen.items() if there and name.startswith(prefix)]

    def mv(self, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("an object store renames nothing")

    mv_file = rename = move = copy = cp_file = mv

    def _dies(self) -> bool:
        type(self).calls += 1
        return self.dies_at is not None and self.calls >= self.dies_at


fsspec.register_implementation("unreliable", Unreliable, clobber=True)


def storage(name: str = "run") -> Storage:
    return Storage(f"unreliable://{name}")


def tree(run: RunDirectory) -> dict[str, bytes]:
    """Every file of a run that is not hidden."""
    return {
        str(Path(place, name).relative_to(run.path)): Path(place, name).read_bytes()
        for place, folders, names in os.walk(run.path)
        for name in names
        if not name.startswith(".")
        and not any(part.startswith(".") for part in Path(place).relative_to(run.path).parts)
    }
