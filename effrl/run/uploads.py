"""Storing a run's checkpoints while it goes on: one at a time, in a thread, each with a deadline.

A checkpoint that could not be stored costs nothing at once: the next one is stored whole. It is told in one line and
counted, since a run that nobody stores is lost with its machine: so many in a row end the run, at a checkpoint in its
own directory.

Consumes: the run directory. Waits for: the storage, ``wait_s`` for each checkpoint. Unblocked by: the upload's end or
its deadline; its thread may hang longer, and then the next checkpoint is not stored either.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from effrl.errors import DeadlineError, RunError, UserError, one_line
from effrl.run.checkpoint import Checkpoints
from effrl.run.contents import STAGED, RunFile, Staging, contents
from effrl.run.directory import RunDirectory
from effrl.run.mirror import MirrorWriter, SupersededError

POLL_S = 0.05
"""Between two looks at whether an upload has ended."""


class Uploads(Protocol):
    """Where checkpoints go besides the run directory."""

    async def settled(self) -> None:
        """Wait until the last checkpoint is stored or given up: before that none of its files may be deleted.

        Raises:
            RunError: too many in a row could not be stored, or another attempt has taken over.
        """
        ...

    async def begin(self, step: int) -> None:
        """Begin to store the checkpoint of a step, which is sealed; none is on its way."""
        ...

    def metrics(self) -> dict[str, float]:
        """Of all that was stored since the last call."""
        ...

    def close(self) -> None:
        """Store the run as it ended, and wait for it.

        Raises:
            RunError: it could not be stored.
        """
        ...

    def abandon(self) -> None:
        """Wait for what is on its way, and begin nothing more: the run has failed."""
        ...


class NoUploads:
    """Of a run that has a directory and no storage."""

    async def settled(self) -> None:
        """Nothing is on its way."""

    async def begin(self, step: int) -> None:
        """It is where it is."""

    def metrics(self) -> dict[str, float]:
        return {}

    def close(self) -> None:
        """It is where it is."""

    def abandon(self) -> None:
        """Nothing is on its way."""


@dataclass
class _Upload:
    step: int
    files: dict[str, RunFile]
    began: float
    given_up: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)
    stored: bool = False
    failure: Exception | None = None
    remark: str = ""
    """What went wrong when it was stored."""
    seconds: float = 0.0


class BackgroundUploads:
    """The :class:`Uploads` of a run with a storage."""

    def __init__(
        self,
        writer: MirrorWriter,
        run: RunDirectory,
        ledger: Path | None,
        wait_s: float,
        failures: int,
        tell: Callable[[str], None],
    ) -> None:
        """Begin nothing yet.

        Args:
            writer: the attempt's.
            run: what is stored.
            ledger: the file that the labels are in; None where it is not on this machine.
            wait_s: deadline for one checkpoint.
            failures: so many in a row end the run.
            tell: is told of each that was not stored.
        """
        self._writer, self._run, self._ledger = writer, run, ledger
        self._wait_s, self._most, self._tell = wait_s, failures, tell
        self._staging = Staging(run.path / STAGED)
        self._staging.clear()
        self._current: _Upload | None = None
        self._thread: threading.Thread | None = None
        self._superseded: SupersededError | None = None
        self._in_a_row = self._failed = 0
        self._seconds = 0.0

    async def begin(self, step: int) -> None:
        await asyncio.to_thread(self._begin, step)

    async def settled(self) -> None:
        if (upload := self._current) is not None:
            while not upload.done.is_set() and self._left(upload) > 0:  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)  # the event is a thread's
            self._end(upload)
        self._check()

    def metrics(self) -> dict[str, float]:
        """``storage/failed``, checkpoints of this attempt that could not be stored, and ``time/store_s``."""
        if self._current is not None and self._current.done.is_set():
            self._end(self._current)
        seconds, self._seconds = self._seconds, 0.0
        return {"storage/failed": self._failed, "time/store_s": seconds}

    def close(self) -> None:
        """Store the run as it ended, if it has a checkpoint; files that are there already are not sent again."""
        self.abandon()
        failed, steps = self._failed, Checkpoints(self._run.checkpoints, 1).steps()
        if steps and self._superseded is None:
            self._begin(steps[-1])
            self.abandon()
        if self._failed > failed:
            raise RunError(
                f"the run has ended, and {self._writer.storage.url} has not all of it: the same command again, or"
                f" effrl resume {self._run.path}, stores it"
            )
        self._check()

    def abandon(self) -> None:
        if (upload := self._current) is not None:
            upload.done.wait(max(0.0, self._left(upload)))
            self._end(upload)

    def _begin(self, step: int) -> None:
        self._current = upload = _Upload(step, {}, time.monotonic())
        try:
            if self._thread is not None and self._thread.is_alive():
                raise RunError("the upload before it still hangs")
            upload.files = contents(self._run)
        except (RunError, UserError, OSError) as error:  # told and counted as any other failure
            upload.failure = error
            upload.done.set()
            return
        self._thread = threading.Thread(target=self._work, args=(upload,), name=f"store-{step}", daemon=True)
        self._thread.start()

    def _work(self, upload: _Upload) -> None:
        ledger = None if self._ledger is None else (self._run.ledger.name, self._ledger)
        try:
            self._writer.store(upload.step, upload.files, ledger, self._staging, upload.given_up.is_set)
        except Exception as error:  # whatever it was, `_end` tells it in the run's own thread
            upload.failure = error
        else:
            upload.stored = True
            upload.remark = self._pruned()
        finally:
            self._staging.clear()
            upload.seconds = time.monotonic() - upload.began
            upload.done.set()

    def _pruned(self) -> str:
        try:
            self._writer.prune()
        except (RunError, UserError, OSError) as error:
            return f"old checkpoints are left: {error}"
        return ""

    def _end(self, upload: _Upload) -> None:
        """Take note of how an upload ended, or that its time is over."""
        self._current = None
        upload.given_up.set()
        if not upload.done.is_set() and not upload.stored:
            upload.failure = DeadlineError(f"it took longer than run.storage.wait_s, {self._wait_s:g} s")
        self._seconds += upload.seconds
        if upload.remark:
            self._tell(upload.remark)
        if isinstance(upload.failure, SupersededError):
            self._superseded = upload.failure
        elif upload.failure is not None:
            self._failed, self._in_a_row = self._failed + 1, self._in_a_row + 1
            self._tell(f"step {upload.step} is not stored: {one_line(upload.failure)}; the next checkpoint will be")
        else:
            self._in_a_row = 0

    def _check(self) -> None:
        if self._superseded is not None:
            raise self._superseded
        if self._in_a_row >= self._most:
            raise RunError(
                f"{self._in_a_row} checkpoints in a row could not be stored at {self._writer.storage.url}: mend the"
                " storage and go on; run.storage.failures lets a run go on for longer without it"
            )

    def _left(self, upload: _Upload) -> float:
        """Seconds until nobody waits for an upload any more."""
        return self._wait_s - (time.monotonic() - upload.began)
