"""A run's copy in a storage, of which a reader sees one whole checkpoint or another, whenever its writer dies.

An object store renames nothing, so a *manifest* says what belongs together. It is written last, and nobody believes
anything else::

    attempts/000002-9f31c04e.json              whoever works on the run from now on
    manifests/000002-9f31c04e-000007.json      a checkpoint: names, sizes and digests of all files of the run
    files/000002-9f31c04e/DIGEST               the files that this attempt has stored, under their digests

Two writers cannot hurt each other. An attempt writes below its own name alone, and deletes nothing of a later one; the
checkpoints of a later attempt always come before those of an earlier one; and an attempt that finds a later one ends.
So a writer that was taken for dead and wakes up at worst leaves files, which the later attempt removes.
"""

import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from typing import Any

from effrl.errors import RunError, UserError
from effrl.run.contents import RunFile, Staging
from effrl.run.directory import RunDirectory
from effrl.run.files import damaged, sync, whole
from effrl.run.storage import Storage
from effrl.saved import SavedFile

FORMAT = 1
LEAST_KEPT = 2
"""Checkpoints in a storage: a reader whose listing is late finds the one before the newest whole."""
FETCH_TRIES = 3
"""A writer may delete a checkpoint while it is fetched; then there is a newer one."""


class SupersededError(RunError):
    """A later attempt at the run has taken over its storage."""


class GivenUpError(RunError):
    """An upload that nobody waits for any more."""


@dataclass(frozen=True, slots=True, order=True)
class StorageAttempt:
    """Who works on a run; a later one has precedence."""

    number: int
    token: str

    def __str__(self) -> str:
        return f"{self.number:06}-{self.token}"

    @classmethod
    def parse(cls, name: str) -> "StorageAttempt":
        """From the last part of a name that begins with it."""
        number, token = name.rpartition("/")[2].removesuffix(".json").split("-")[:2]
        return cls(int(number), token)


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What a manifest says."""

    run: str
    """Identity of the run."""
    attempt: StorageAttempt
    serial: int
    """Numbers the manifests of an attempt."""
    step: int
    files: Mapping[str, SavedFile]
    """All files of the run directory."""

    @property
    def name(self) -> str:
        return f"manifests/{self.attempt}-{self.serial:06}.json"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    def object(self, name: str) -> str:
        """What a file of the run is called in the storage."""
        return _object(self.attempt, self.files[name])


def stored_runs(storage: Storage) -> list[StoredRun]:
    """What is whole in a storage, the newest last; a manifest that is not whole is none.

    Raises:
        UserError: a manifest is of another format.
        StorageError: the storage cannot be read.
    """
    found = [_read(storage, name) for name in storage.names("manifests")]
    return [entry for entry in found if entry is not None]


def newest(storage: Storage) -> StoredRun | None:
    """The newest checkpoint; raises as :func:`stored_runs` does."""
    for name in reversed(storage.names("manifests")):
        if (found := _read(storage, name)) is not None:
            return found
    return None


def fetch(storage: Storage, into: Path) -> StoredRun | None:
    """Fetch the newest checkpoint into an empty directory, and compare every file with its digest; None without one.

    Raises:
        UserError: a file is missing or damaged; what it is, and what to do.
        StorageError: the storage cannot be read.
    """
    found = newest(storage)
    for _ in range(FETCH_TRIES):
        if found is None:
            return None
        try:
            storage.download({into / name: found.object(name) for name in found.files})
        except FileNotFoundError as error:
            before, found = found, newest(storage)
            if found == before:
                raise _damage(storage, before, f"a file of it is missing ({error})") from error
            continue
        if wrong := damaged(into, found.files):
            raise _damage(storage, found, f"{wrong[0]} ({found.object(wrong[0])}) is damaged")
        for folder in {into, *(path for path in into.rglob("*") if path.is_dir())}:
            sync(folder)
        return found
    raise UserError(f"{storage.url}: its checkpoints are replaced faster than they can be fetched; try again")


@dataclass(frozen=True, slots=True)
class Membership:
    """What a run directory notes of its storage: which run it is, and who worked there last."""

    run: str
    attempt: StorageAttempt

    @classmethod
    def of(cls, directory: RunDirectory) -> "Membership | None":
        """What is noted; None where nothing is."""
        if not directory.storage_note.exists():
            return None
        told = json.loads(directory.storage_note.read_text())
        return cls(told["run"], StorageAttempt(**told["attempt"]))

    def write(self, directory: RunDirectory) -> None:
        """Note it, whole or not at all: without it the run is nobody's."""
        with whole(directory.storage_note) as draft:
            draft.write_text(json.dumps(asdict(self)))


@dataclass
class MirrorWriter:
    """One attempt's hand in a storage. One thread at a time."""

    storage: Storage
    membership: Membership
    keep: int
    _stored: set[str] = field(default_factory=set)
    """Digests of the files that this attempt has stored."""
    _written: list[StoredRun] = field(default_factory=list)
    """The manifests that it wrote: a listing may be late."""

    @classmethod
    def begin(cls, storage: Storage, directory: RunDirectory, keep: int) -> "MirrorWriter":
        """Become the attempt that works on the run.

        Raises:
            UserError: the storage holds another run.
            StorageError: it cannot be read, or written.
        """
        noted, there = Membership.of(directory), newest(storage)
        if there is not None and (noted is None or noted.run != there.run):
            raise another_run(storage, directory)
        names = (*storage.names("attempts"), *storage.names("manifests"))
        known = [StorageAttempt.parse(name).number for name in names]
        last = max([*known, noted.attempt.number if noted else 0])  # a listing may be late
        run = noted.run if noted else token_hex(8)
        membership = Membership(run, StorageAttempt(last + 1, token_hex(4)))
        membership.write(directory)  # first: who has worked here must never look like an earlier attempt
        who = {"run": run, "host": socket.gethostname(), "process": os.getpid()}
        storage.write(f"attempts/{membership.attempt}.json", json.dumps(who).encode())
        return cls(storage, membership, max(keep, LEAST_KEPT))

    def store(
        self,
        step: int,
        found: Mapping[str, RunFile],
        ledger: tuple[str, Path] | None,
        staging: Staging,
        given_up: Callable[[], bool] = lambda: False,
    ) -> StoredRun:
        """Store a checkpoint: files, then the manifest.

        Args:
            step: of the checkpoint.
            found: the files of the run directory.
            ledger: its name there, and where it is.
            staging: makes copies of what changes meanwhile.
            given_up: whether nobody waits any more; asked before every call of the storage.

        Raises:
            SupersededError: a later attempt has taken over; nothing of this one counts any more.
            GivenUpError: nobody waits any more; there is no manifest.
            StorageError, OSError: a file could not be read or stored; there is no manifest.
        """
        files, to_send = dict[str, SavedFile](), dict[str, Path]()
        for name, content in found.items():
            path, files[name] = staging.of(content, self._stored)
            if path is not None:
                to_send[self._object(files[name])] = path
        if ledger is not None and (copy := staging.ledger(ledger[1])) is not None:
            files[ledger[0]] = copy[1]
            to_send[self._object(copy[1])] = copy[0]
        self._send(to_send, given_up)
        self._stored |= {file.digest for file in files.values()}
        return self._commit(step, files)

    def prune(self) -> None:
        """Remove checkpoints beyond the newest ones, manifests first, and then what no manifest names.

        What a later attempt has, whole or unfinished, is left alone.
        """
        mine = self.membership.attempt
        there = {entry.name: entry for entry in (*stored_runs(self.storage), *self._written)}
        kept = [there[name] for name in sorted(there)[-self.keep :]]
        names = {entry.name for entry in kept}
        self._written = [entry for entry in self._written if entry.name in names]
        self.storage.remove([name for name in self._earlier("manifests") if name not in names])
        objects = {entry.object(name) for entry in kept for name in entry.files}
        gone = [
            name
            for name in self.storage.names("files")
            if StorageAttempt.parse(name.split("/")[1]) <= mine and name not in objects
        ]
        self._stored -= {name.rpartition("/")[2] for name in gone if name.split("/")[1] == str(mine)}
        self.storage.remove(gone)
        self.storage.remove([name for name in self._earlier("attempts") if StorageAttempt.parse(name) < mine])

    def _send(self, files: Mapping[str, Path], given_up: Callable[[], bool]) -> None:
        sending = self.storage.upload(files)
        while not given_up():
            if next(sending, None) is None:
                return
        raise GivenUpError("nobody waits for this upload any more")

    def _commit(self, step: int, files: Mapping[str, SavedFile]) -> StoredRun:
        mine = self.membership.attempt
        if later := [name for name in self.storage.names("attempts") if StorageAttempt.parse(name) > mine]:
            raise SupersededError(f"{self.storage.url}: another attempt at this run has taken over ({_who(later[-1])})")
        serial = self._written[-1].serial + 1 if self._written else 1
        made = StoredRun(self.membership.run, mine, serial, step, files)
        content = json.loads(json.dumps({"format": FORMAT, **asdict(made)}))  # its digest is of what will be read
        told = json.dumps({**content, "digest": _digest_of(content)})
        self.storage.write(made.name, told.encode())
        self._written.append(made)
        return made

    def _earlier(self, folder: str) -> list[str]:
        """What is below a folder of this attempt and of earlier ones."""
        mine = self.membership.attempt
        return [name for name in self.storage.names(folder) if StorageAttempt.parse(name) <= mine]

    def _object(self, file: SavedFile) -> str:
        return _object(self.membership.attempt, file)


def another_run(storage: Storage, directory: RunDirectory) -> UserError:
    """That a storage and a run directory do not belong together."""
    return UserError(
        f"{storage.url} holds a run, and it is not that of {directory.path}: choose another run.storage, or move that"
        " directory away to go on with the stored one (effrl train … --or-resume)"
    )


def _who(name: str) -> str:
    return f"number {StorageAttempt.parse(name).number}"


def _object(attempt: StorageAttempt, file: SavedFile) -> str:
    return f"files/{attempt}/{file.digest}"


def _read(storage: Storage, name: str) -> StoredRun | None:
    """A manifest; None where it is gone, or was not written to its end."""
    try:
        content: dict[str, Any] = json.loads(storage.read(name))
        is_whole = content.pop("digest") == _digest_of(content)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    if not is_whole:
        return None
    if (found := content.pop("format")) != FORMAT:
        raise UserError(
            f"{storage.url}/{name} is of format {found}, and this version of effrl reads format {FORMAT}: use the"
            " version that wrote it"
        )
    files = {path: SavedFile(**file) for path, file in content.pop("files").items()}
    if outside := [path for path in files if path.startswith("/") or ".." in path.split("/")]:
        raise UserError(f"{storage.url}/{name} names {outside[0]}, which is outside of a run: it is not from effrl")
    return StoredRun(attempt=StorageAttempt(**content.pop("attempt")), files=files, **content)


def _damage(storage: Storage, found: StoredRun, what: str) -> UserError:
    return UserError(
        f"{storage.url}, step {found.step}: {what}: restore it, or delete {found.name} there to go on from the"
        " checkpoint before it"
    )


def _digest_of(content: Mapping[str, Any]) -> str:
    return blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
