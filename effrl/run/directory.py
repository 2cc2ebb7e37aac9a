"""The run directory: which one a run gets, who holds it, and where things are in it."""

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

from effrl.errors import UserError
from effrl.run.files import whole

FREE_POLL_S = 0.5
"""Between two looks at whether a run is free."""


@dataclass(frozen=True)
class RunDirectory:
    """``runs/NAME``: config, metrics, ledger, groups, checkpoints, TensorBoard events, logs and report of one run."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def ledger(self) -> Path:
        """The labels that were bought, unless ``label.ledger`` names another place."""
        return self.path / "ledger.sqlite"

    @property
    def ledger_note(self) -> Path:
        """Says where labels were bought, so that a resume elsewhere does not begin another ledger."""
        return self.path / "ledger.txt"

    @property
    def groups(self) -> Path:
        return self.path / "groups"

    @property
    def parked(self) -> Path:
        """Groups that wait for their label, whole."""
        return self.path / "parked"

    @property
    def scores(self) -> Path:
        """What was found out of each prompt before it was chosen or not."""
        return self.path / "select" / "scores.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def stages(self) -> Path:
        """What the stages of a run found out of their pools: easy prompts, answers, pseudo-labels."""
        return self.path / "stages"

    @property
    def lock(self) -> Path:
        """Locked by the process that works on the run, whose number it holds."""
        return self.path / ".lock"

    @property
    def storage_note(self) -> Path:
        """Which run of ``run.storage`` this is; hidden, as it is no part of what is stored there."""
        return self.path / ".storage.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def profile(self) -> Path:
        """Who worked when: of a run with ``--profile``."""
        return self.path / "profile"

    def log(self, role: str) -> Path:
        return self.path / "logs" / f"{role}.log"

    def write_config(self, text: str) -> None:
        """Replace the resolved config, whole or not at all: without it nothing of a run can be read any more."""
        with whole(self.config) as draft:
            draft.write_text(text, encoding="utf-8")


class Claim:
    """Exclusive use of a run directory, held until the process ends: a lock that no crash can leave behind."""

    def __init__(self, directory: RunDirectory) -> None:
        """Take the lock.

        Raises:
            UserError: another live process holds it, or it is not a directory that can be written.
        """
        try:
            directory.path.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(directory.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UserError(
                f"cannot write a run to {directory.path} ({error.strerror}): choose another run.dir"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode() or "unknown"
            os.close(self._descriptor)
            raise UserError(
                f"{directory.path} is in use by process {holder}: wait for it, stop it, or choose another run.dir"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let another process have the directory."""
        os.close(self._descriptor)


def holder(directory: RunDirectory) -> str | None:
    """Number of the process that works on a run, on whichever machine it is; None where nobody does."""
    try:
        descriptor = os.open(directory.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(descriptor, 32).decode() or "unknown"
    finally:
        os.close(descriptor)
    return None


def free_within(directory: RunDirectory, seconds: float) -> bool:
    """Wait until nobody works on a run; False where somebody still does after so many seconds."""
    deadline = time.monotonic() + seconds
    while holder(directory) is not None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(FREE_POLL_S)
    return True


def claim_new(wanted: Path) -> tuple[RunDirectory, Claim]:
    """Claim ``wanted``, or ``wanted-2``, ``wanted-3``, … where a run is already kept there: nothing is overwritten.

    Raises:
        UserError: ``wanted`` is in use by a live process, or is not a directory that can be written.
    """
    number = 1
    while True:
        directory = RunDirectory(wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}"))
        claim = Claim(directory)
        if not directory.config.exists():
            return directory, claim
        claim.release()
        number += 1


def claim_existing(path: Path) -> tuple[RunDirectory, Claim]:
    """Claim the directory of a run to go on with.

    Raises:
        UserError: there is no run, it is in use, or it cannot be written.
    """
    directory = RunDirectory(path)
    if not directory.config.is_file():
        raise UserError(
            f"{path} holds no run (it has no config.yaml); `effrl train` starts one, `effrl fetch` gets one"
        )
    return directory, Claim(directory)
