"""The actor of a node: it finds out at the start whether a run can work there, and is never busy afterwards."""

import os
import signal
import socket
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from actors.machine import Usage, is_stopped, usable_cores, usage
from actors.node.shipping import Copy, is_there
from effrl import plugins
from effrl.errors import UserError

VISIBLE_S = 10.0
"""How long a file that the driver wrote may take to be seen here: a network's file system may be late."""
LEARNER_PLUGINS = ("loss.kind",)
"""The user's own code that the learner runs; all other runs beside the driver."""


@dataclass(frozen=True, slots=True)
class NodeNeeds:
    """What the workers of a node must find there."""

    models: tuple[Path, ...]
    """Directories that they load."""
    token: Path | None = None
    """A file that the driver has just written into the run directory; None where nothing is written there."""
    plugins: Mapping[str, str] = field(default_factory=dict)
    """Import paths of the user's own code that they run, by the field that names it."""
    search_path: tuple[str, ...] = ()
    """Where that code may lie, besides where packages are installed."""


class NodeActor:
    """Looks at its node."""

    def __init__(self) -> None:
        self.host = socket.gethostname()
        self.copies: dict[Path, Copy] = {}
        """Models that are arriving."""

    def check(self, needs: NodeNeeds) -> int:
        """See that a run can work here, before an engine is loaded for minutes.

        Returns:
            Cores that the workers of this node may use.

        Raises:
            UserError: one line that says what is not here, and what to do.
        """
        if needs.token is not None and not self._sees(needs.token):
            raise UserError(
                f"node {self.host} does not see the run directory {needs.token.parent}: choose a run.dir on a disk that"
                " every node shares, since each writes its part of a checkpoint and its logs there"
            )
        plugins.search(needs.search_path)
        for name, path in needs.plugins.items():
            if find_spec(path.partition(":")[0].partition(".")[0]) is None:
                raise UserError(
                    f"{name} {path!r}: node {self.host} has no such module; install it there, or start the run in a"
                    f" directory that every node shares (it looked in {os.pathsep.join(needs.search_path)})"
                )
        return usable_cores()

    def lacks(self, models: Collection[Path]) -> list[Path]:
        """Models that are not here."""
        return [model for model in models if not is_there(model)]

    def expect(self, model: Path, size: int) -> None:
        """Make room for a model that the driver is about to send; raises UserError where it cannot be kept here."""
        with self._keeping(model):
            self.copies[model] = Copy.begin(model, size)

    def keep(self, model: Path, name: str, piece: bytes) -> None:
        """Write what has arrived of one of its files."""
        with self._keeping(model):
            self.copies[model].add(name, piece)

    def complete(self, model: Path, size: int) -> None:
        """See that all of it is here, and have it in its place."""
        with self._keeping(model):
            self.copies[model].end(size)
        del self.copies[model]

    def forget(self, model: Path) -> None:
        """Leave nothing of a model that does not arrive whole."""
        if model in self.copies:
            self.copies.pop(model).drop()

    @contextmanager
    def _keeping(self, model: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.forget(model)
            raise UserError(
                f"node {self.host} has no model at {model}, and cannot keep a copy there ({error}): put it on a disk"
                " that every node shares, or at the same place on each (HF_HOME says where models of the hub are put)"
            ) from error

    def usage(self, pids: Mapping[str, int]) -> dict[str, Usage | None]:
        """What processes of this node use, by name, children included."""
        found = usage(pids.values())
        return {name: found[pid] for name, pid in pids.items()}

    def stopped(self, pids: Mapping[str, int]) -> list[str]:
        """Names of processes that somebody has stopped, and that so do nothing."""
        return [name for name, pid in pids.items() if is_stopped(pid)]

    def end(self, pid: int) -> None:
        """Kill a process, if it is still there."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _sees(self, token: Path) -> bool:
        deadline = time.monotonic() + VISIBLE_S
        while not token.exists():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True
