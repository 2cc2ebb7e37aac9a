"""Groups that wait for their label: on disk as soon as it is asked for, and back in a batch when it comes.

The learner waits for nobody. In memory there is a name per group: a question that nobody ever answers costs a file.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from effrl.errors import RunError
from effrl.label.verdicts import settled_by
from effrl.protocols import Oracle
from effrl.questions import Answer, Label, Refused
from effrl.run.archive import read_groups, write_groups
from effrl.run.files import read_state, sync, write_state, written
from effrl.saved import Saved
from effrl.stateless import StatelessPart
from effrl.types import Decision, Judged, ScoredGroup, Step

POLL_S = 5.0
"""Longest wait for news in one call of the oracle, which serves others too."""


class NoParking(StatelessPart):
    """The :class:`~effrl.protocols.Parked` of a run whose labels come at once."""

    name = "parked"

    async def answered(self, step: Step) -> list[Judged]:
        return []

    async def keep(self, step: Step, judged: Sequence[Judged]) -> Sequence[Judged]:
        """Return all of them.

        Raises:
            RunError: one is parked, and would be lost.
        """
        if parked := [entry.group.prompt.id for entry in judged if entry.decision is Decision.PARK]:
            raise RunError(
                f"the labeller parks the group of {parked[0]}, and label.oracle answers at once: nothing is parked here"
            )
        return judged

    def take_back(self) -> None:
        """Nothing waits."""

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class ParkedGroups:
    """The :class:`~effrl.protocols.Parked` of a run whose labels come when they come.

    A parked group is a file that never changes, named after the group. A checkpoint holds who waits for what, and how
    far the oracle's answers were read: a resumed run is told again what came since, and an answer that only an attempt
    which was taken back had waited for is owned, and joins nothing.
    """

    oracle: Oracle
    directory: Path
    wait_s: float
    """``label.wait_s``."""
    stopping: Callable[[], bool] = lambda: False
    """Whether somebody wants the run to stop: then no step waits any longer for people."""
    timed: Callable[[], AbstractContextManager[None]] = nullcontext
    """Puts the wait on the clock."""
    name = "parked"
    _waiting: dict[str, list[str]] = field(default_factory=dict)
    """Ids of the groups that wait, by query."""
    _cursor: int = 0
    _before: tuple[int, dict[str, list[str]]] | None = None
    """Cursor and who waited when the newest step began."""

    async def answered(self, step: Step) -> list[Judged]:
        """The groups of earlier steps whose question was closed since, in the order of the answers."""
        self._before = self._cursor, {query: [*names] for query, names in self._waiting.items()}
        self._cursor, answers = await self.oracle.answered(self._cursor)
        told = [(self._waiting.pop(answer.query, []), answer) for answer in answers]
        files = [(self._file(name), answer) for names, answer in told for name in names]
        return await asyncio.to_thread(lambda: [_settled(_read(path), answer) for path, answer in files])

    async def keep(self, step: Step, judged: Sequence[Judged]) -> list[Judged]:
        """Write the parked ones to disk, and wait ``label.wait_s`` for their labels: what has come goes on with it."""
        parked = [entry for entry in judged if entry.decision is Decision.PARK]
        await asyncio.to_thread(self._write, parked)
        for entry in parked:
            self._waiting.setdefault(str(entry.query), []).append(entry.group.id)
        come: dict[str, Judged] = {}
        if parked and self.wait_s:
            with self.timed():
                come = await self._waited(parked)
        return [come.get(entry.group.id, entry) for entry in judged]

    def take_back(self) -> None:
        """Be as before the newest step, which is given up: what was answered is told again when it is repeated."""
        if self._before is not None:
            self._cursor, self._waiting = self._before

    async def close(self) -> None:
        """Take back every question that is open, since nobody will train on its answer; remove what waits no more."""
        await self.oracle.withdraw(await self.oracle.open())
        waiting = {self._file(name) for names in self._waiting.values() for name in names}
        for path in self.directory.glob("*.npz"):
            if path not in waiting:
                path.unlink()

    async def save(self, into: Path) -> Saved:
        path = into / "parked.json.gz"
        state = {"cursor": self._cursor, "waiting": self._waiting}
        await asyncio.to_thread(write_state, path, state)
        return Saved(await asyncio.to_thread(written, into, [path]), {})

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        saved = await asyncio.to_thread(read_state, path / "parked.json.gz")
        self._cursor, self._waiting = saved["cursor"], saved["waiting"]

    async def _waited(self, parked: Sequence[Judged]) -> dict[str, Judged]:
        """Those of a step's groups whose label comes in time, by id.

        The cursor stays where it was: what comes meanwhile for groups of earlier steps is told again at the next step.
        """
        cursor, come, deadline = self._cursor, dict[str, Judged](), time.monotonic() + self.wait_s
        while len(come) < len(parked) and (left := deadline - time.monotonic()) > 0 and not self.stopping():
            cursor, answers = await self.oracle.answered(cursor, min(left, POLL_S))
            told = {answer.query: answer for answer in answers}
            come |= {entry.group.id: _settled(entry, told[entry.query]) for entry in parked if entry.query in told}
        for query, names in list(self._waiting.items()):
            if left_over := [name for name in names if name not in come]:
                self._waiting[query] = left_over
            else:
                del self._waiting[query]
        return come

    def _write(self, parked: Sequence[Judged]) -> None:
        """Each group in a file of its own; they are all on disk when this returns."""
        self.directory.mkdir(exist_ok=True)
        for entry in parked:
            draft = self._file(entry.group.id).with_suffix(".part.npz")
            write_groups(draft, [ScoredGroup(entry, ())])
            sync(draft)
            draft.rename(self._file(entry.group.id))
        sync(self.directory)

    def _file(self, group_id: str) -> Path:
        """A prompt's id may hold anything that a file's name may not."""
        return self.directory / f"{blake2b(group_id.encode(), digest_size=16).hexdigest()}.npz"


def _read(path: Path) -> Judged:
    [scored] = read_groups(path)
    return scored.judged


def _settled(parked: Judged, answer: Answer) -> Judged:
    """A group that need not wait any more: it has its label, or is dropped where nobody could give one."""
    reply = Refused(answer.reason) if answer.answer is None else Label(answer.answer, answer.weight)
    return replace(settled_by(reply, parked.read, "bought"), grounds=parked.grounds)
