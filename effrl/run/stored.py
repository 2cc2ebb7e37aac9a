"""A run directory and its storage, before anything else is started: which of the two is ahead, and who goes on."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from effrl.config.schema import Config
from effrl.errors import RunError, UserError
from effrl.run.checkpoint import Checkpoints
from effrl.run.directory import Claim, RunDirectory
from effrl.run.mirror import Membership, MirrorWriter, StoredRun, another_run, fetch, newest
from effrl.run.storage import Storage
from effrl.run.uploads import BackgroundUploads, NoUploads

_LEFT_BEHIND = (RunDirectory(Path()).lock.name, RunDirectory(Path()).storage_note.name)
"""What a start that failed leaves in a directory: no run."""


def bring(directory: RunDirectory, config: Config, tell: Callable[[str], None]) -> None:
    """See that the run directory has the newest that is known of a run: fetch it, where the storage is ahead of it.

    The storage is ahead where there is no run in the directory, or where somebody has gone on with it elsewhere, and
    stored a checkpoint, after the directory was last worked in. What was there is set aside.

    Raises:
        UserError: the storage cannot be read, is damaged, or holds another run; or somebody works in the directory.
    """
    if config.run.storage is None:
        return
    storage = Storage(config.run.storage.url)
    there = _readable(storage)
    if there is None:
        return
    if directory.config.is_file():
        noted = Membership.of(directory)
        if noted is None or noted.run != there.run:
            raise another_run(storage, directory)
        if noted.attempt >= there.attempt:
            return

    def make_room() -> None:
        if directory.config.is_file():
            tell(f"{directory.path} was gone on with elsewhere: what is there is set aside as {_set_aside(directory)}")

    found = fetch_run(storage, directory.path, make_room)
    tell(f"fetched step {found.step} from {storage.url} ({found.size / 1e9:.2f} GB)")
    _place_ledger(directory, config, tell)


def fetch_run(storage: Storage, path: Path, make_room: Callable[[], None] = lambda: None) -> StoredRun:
    """Fetch the newest checkpoint of a run to ``path``, whole or not at all.

    Args:
        make_room: takes away what is at ``path``, once all is fetched and found whole.

    Raises:
        UserError: there is none, it is damaged, or there is something at ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as draft:
        whole = RunDirectory(Path(draft, "run"))
        whole.path.mkdir()
        try:
            found = fetch(storage, whole.path)
        except RunError as error:
            raise UserError(f"run.storage: {error}") from error
        if found is None:
            raise UserError(f"{storage.url} holds no run: nothing was stored there yet, or its address is another")
        Membership(found.run, found.attempt).write(whole)
        make_room()
        try:
            if path.is_dir() and all(entry.name in _LEFT_BEHIND for entry in path.iterdir()):
                shutil.rmtree(path)
            os.rename(whole.path, path)
        except OSError as error:
            raise UserError(
                f"cannot put the run of {storage.url} to {path} ({error.strerror}): name one that does not exist"
            ) from error
    return found


def begin_uploads(
    config: Config, directory: RunDirectory, tell: Callable[[str], None]
) -> NoUploads | BackgroundUploads:
    """Take over the storage of a run; whoever has worked on it before finds so at its next checkpoint, and ends.

    Raises:
        UserError: it holds another run, or cannot be read or written.
    """
    run, label = config.run, config.label
    if run.storage is None:
        return NoUploads()
    try:
        writer = MirrorWriter.begin(Storage(run.storage.url), directory, run.keep)
    except RunError as error:
        raise UserError(f"run.storage: {error}") from error
    ledger = None if label.is_remote else label.ledger_file or directory.ledger
    return BackgroundUploads(writer, directory, ledger, run.storage.wait_s, run.storage.failures, tell)


def store_the_rest(config: Config, directory: RunDirectory, tell: Callable[[str], None]) -> None:
    """Of a run that is finished, store what its storage lacks, as where it could not be reached at the end.

    Raises:
        RunError: it cannot be reached now either.
    """
    if config.run.storage is None:
        return
    there = _readable(Storage(config.run.storage.url))
    steps = Checkpoints(directory.checkpoints, config.run.keep).steps()
    if there is None or there.step < steps[-1]:
        begin_uploads(config, directory, tell).close()


def note_on_labels(config: Config) -> list[str]:
    """A line where labels that somebody is paid for would be bought again if the machine were lost."""
    label = config.label
    paid = label.buys and not label.oracle.reads_data and not label.is_remote
    if config.run.storage is None or not paid:
        return []
    return [
        "labels that were bought after the newest stored checkpoint are bought again if this machine is lost: lower"
        " run.save_every, or have an inbox own them (label.ledger)"
    ]


def _readable(storage: Storage) -> StoredRun | None:
    try:
        return newest(storage)
    except RunError as error:
        raise UserError(f"run.storage: {error}; mend its address, or the rights of this machine there") from error


def _set_aside(directory: RunDirectory) -> Path:
    """Give a run directory that nobody works in another name."""
    Claim(directory).release()
    number = 1
    while (aside := directory.path.with_name(f"{directory.path.name}.behind-{number}")).exists():
        number += 1
    directory.path.rename(aside)
    return aside


def _place_ledger(directory: RunDirectory, config: Config, tell: Callable[[str], None]) -> None:
    """Put the stored ledger to where the config has it, unless it is there: that one knows more."""
    place = config.label.ledger_file
    if place is None or place.exists() or not directory.ledger.exists():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    directory.ledger.replace(place)
    tell(f"the stored ledger is put to {place}, where there was none")
