"""What every actor has: a name, a log file of its own, and one root for our three packages."""

import faulthandler
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from importlib.util import find_spec
from inspect import iscoroutinefunction, isfunction
from pathlib import Path
from typing import Any

import effrl
from effrl.errors import RunError
from effrl.run.recording import SpanFile, spans_of
from effrl.run.timeline import Span


class Role:
    """Base of all actors. While a run is profiled, calls of their public methods are recorded."""

    _spans: SpanFile | None = None

    def __init_subclass__(cls) -> None:
        """Ray takes methods from the class before it makes the actor: whether to record is found out in each call."""
        for name, method in list(vars(cls).items()):
            if isfunction(method) and not name.startswith("_"):
                setattr(cls, name, _recorded(method))

    def __init__(self, name: str, run_dir: Path, version: str) -> None:
        self.name = name
        self.run_dir = run_dir
        self._spans = spans_of(run_dir / "profile", name)
        _log_to(run_dir / "logs" / f"{name}.log")
        _assert_one_root(version)

    @contextmanager
    def _recording(self, what: str) -> Iterator[None]:
        start = time.time()
        try:
            yield
        finally:
            if self._spans is not None:
                self._spans.append([Span(self.name, what, start, time.time())])

    def ready(self) -> int:
        """The process that it is, once the constructor has finished: what a start-up waits for."""
        return os.getpid()


def _recorded(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: Role, *arguments: Any, **named: Any) -> Any:
        with self._recording(method.__name__):
            return method(self, *arguments, **named)

    @wraps(method)
    async def call_async(self: Role, *arguments: Any, **named: Any) -> Any:
        with self._recording(method.__name__):
            return await method(self, *arguments, **named)

    return call_async if iscoroutinefunction(method) else call


def _log_to(path: Path) -> None:
    """Send stdout and stderr of this process, C++ included, to the role's own file: no wall of logs on the terminal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    faulthandler.enable(file=2)  # a crash in native code leaves its Python stack in the log


def _assert_one_root(version: str) -> None:
    """A user's own ``actors`` or another effrl on the path must not stand in for ours."""
    roots = {_root_of(package) for package in ("effrl", "actors", "deploy")}
    if len(roots) != 1:
        raise RunError(f"effrl, actors and deploy come from different places: {', '.join(sorted(roots))}")
    if effrl.__version__ != version:
        raise RunError(f"this worker has effrl {effrl.__version__}, the driver {version}: install one version")


def _root_of(package: str) -> str:
    """Where a package would be imported from; it is not, since no actor knows the command line."""
    spec = find_spec(package)
    return str(Path(spec.origin).resolve().parent.parent) if spec and spec.origin else f"nowhere ({package})"
