"""Storage away from the machine, as an object store is: whole files under names, nothing renamed, nothing appended to.

Any place will do that fsspec has a file system for: ``s3://``, ``gs://``, ``abfs://``, ``file://`` (another disk), and
``memory://`` in tests. Who may write there, and where it is, its library finds out by itself (``AWS_PROFILE``,
``AWS_ENDPOINT_URL``, ``GOOGLE_APPLICATION_CREDENTIALS``, …; ``FSSPEC_S3_ENDPOINT_URL`` and the like set any option).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import fsspec

from effrl.chunks import chunks
from effrl.errors import RunError, UserError, one_line

AT_A_TIME = 32
"""Files that the library is given in one call, of which it may carry several at once."""
_LOCAL = ("file", "local")


class StorageError(RunError):
    """The storage did not do what it was asked."""


class Storage:
    """Names below a URL, and whole files under them. Each method may raise :class:`StorageError`.

    Methods wait for a network: what serves an event loop calls them in a thread.
    """

    def __init__(self, url: str) -> None:
        """Find who speaks with such a place; nothing is called yet.

        Raises:
            UserError: nobody does, or its package is not installed.
        """
        self.url = url.rstrip("/")
        protocol = fsspec.utils.get_protocol(self.url)
        options = {"auto_mkdir": True} if protocol in _LOCAL else {}
        try:
            self._files, root = fsspec.core.url_to_fs(self.url, **options)
        except ImportError as error:
            raise UserError(f"run.storage={url}: {protocol}:// needs a package ({error}): pip install it") from error
        except Exception as error:  # each library has its own for an address or an option that it cannot use
            raise UserError(f"run.storage={url}: no such storage can be opened ({one_line(error)})") from error
        self._root = str(root).rstrip("/")

    def names(self, folder: str) -> list[str]:
        """All names below ``folder/``, in order."""
        try:
            with self._asked(f"list {folder}/"):
                self._files.invalidate_cache()
                found: Sequence[str] = self._files.find(self._path(folder))
        except FileNotFoundError:  # as some say where there is nothing
            return []
        return sorted(path.removeprefix(f"{self._root}/") for path in found)

    def read(self, name: str) -> bytes:
        """What lies under a name.

        Raises:
            FileNotFoundError: nothing does.
        """
        with self._asked(f"read {name}"):
            return bytes(self._files.cat_file(self._path(name)))

    def write(self, name: str, content: bytes) -> None:
        """Put something small under a name."""
        try:
            with self._asked(f"write {name}"):
                self._files.pipe_file(self._path(name), content)
        except FileNotFoundError as error:  # the bucket
            raise StorageError(f"{self.url}: cannot write {name} ({one_line(error)})") from error

    def upload(self, files: Mapping[str, Path]) -> Iterator[int]:
        """Put files under names, some at a time; yields how many that were.

        Raises:
            FileNotFoundError: one of the files is not there.
        """
        for names in chunks(sorted(files), AT_A_TIME):
            with self._asked(f"write {names[0]}"):
                self._files.put([str(files[name]) for name in names], [self._path(name) for name in names])
            yield len(names)

    def download(self, files: Mapping[Path, str]) -> None:
        """Fetch what lies under names to paths, whose folders are made.

        Raises:
            FileNotFoundError: nothing lies under one of them.
        """
        for folder in {path.parent for path in files}:
            folder.mkdir(parents=True, exist_ok=True)
        for paths in chunks(sorted(files), AT_A_TIME):
            with self._asked(f"read {files[paths[0]]}"):
                self._files.get([self._path(files[path]) for path in paths], [str(path) for path in paths])

    def remove(self, names: Sequence[str]) -> None:
        """Take files away; one that is not there ends the call without an error, and what it has left stays."""
        try:
            for some in chunks(names, AT_A_TIME):
                with self._asked(f"delete {some[0]}"):
                    self._files.rm([self._path(name) for name in some])
        except FileNotFoundError:  # a listing was late, or somebody else has removed it: the next one finds the rest
            return

    def probe(self) -> None:
        """Write, list, read and delete something.

        Raises:
            UserError: one line on what cannot be done.
        """
        name, content = f"probe/{token_hex(8)}", b"effrl tries whether it may write here"
        try:
            self.write(name, content)
            if name not in self.names("probe"):
                raise StorageError(f"{self.url}: what was written is not listed")
            if self.read(name) != content:
                raise StorageError(f"{self.url}: what was written reads otherwise")
            self.remove([name])
        except (StorageError, FileNotFoundError) as error:
            raise UserError(f"run.storage: {error}; mend its address, or the rights of this machine there") from error

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:  # each library has its own errors for a network, a right or a bucket that is missing
            raise StorageError(f"{self.url}: cannot {what} ({one_line(error)})") from error

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"
