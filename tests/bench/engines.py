"""Many runs on real actors in one process: one Ray, and vLLM engines that serve one run after the other."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from rich.console import Console

from actors.cluster import Cluster
from actors.driver.run import Driver
from actors.session import ray_session
from effrl.config.load import dump
from effrl.config.schema import Config
from effrl.preflight.check import Preflight, check
from effrl.report.progress import Progress
from effrl.run.directory import RunDirectory
from effrl.run.resume import StartPoint

SAID = "said.txt"
"""In a run's directory: what its terminal would have shown."""


class SharedEngines:
    """Lends a cluster to each run; Ray is the caller's.

    A run takes over the engines of the run before where model, sizes and placement are the same. That changes no
    result: requests carry their own seeds, caches are emptied with each publish, and the first thing that a taken-over
    engine gets is the run's own weights, proven as in any start-up. After a failure everything starts anew.
    """

    def __init__(self) -> None:
        self._left: Cluster | None = None
        self._shape: Any = None

    @contextmanager
    def lend(self, config: Config, run_dir: Path) -> Iterator[Cluster]:
        """The cluster of one run, not started yet; all of it but the engines ends with the run."""
        shape = (config.model, config.rollout.kv_cache_gb, config.rollout.gpu_memory, config.cluster, config.workers())
        if self._left is not None and shape == self._shape:
            cluster = self._left.successor(config, run_dir)
        else:
            self.close()
            cluster = Cluster(config, run_dir)
        self._left, self._shape = cluster, shape
        try:
            yield cluster
        except BaseException:
            self.close()
            raise
        self._left = cluster.successor(config, run_dir)

    def close(self) -> None:
        """End the engines, and give their room back."""
        if self._left is None:
            return
        self._left.__exit__()
        if self._left.room is not None:
            self._left.room.give_back()
        self._left = None


class Engines:
    """Runs the cells of a study: a context manager, and inside it an :class:`~tests.bench.runner.Executor`."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._engines = SharedEngines()

    def __enter__(self) -> Self:
        self._stack.enter_context(ray_session())
        self._stack.callback(self._engines.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __call__(self, config: Config, run_dir: Path) -> bool:
        config = config.model_copy(update={"run": config.run.model_copy(update={"dir": run_dir})})
        found = check(config)
        directory = RunDirectory(run_dir.resolve())
        directory.path.mkdir(parents=True)
        directory.config.write_text(dump(config))
        with self._engines.lend(config, directory.path) as cluster:
            return _run(config, directory, found, cluster)


def _console(file: IO[str]) -> Console:
    return Console(file=file, highlight=False, soft_wrap=True, markup=False, emoji=False)


def _run(config: Config, directory: RunDirectory, found: Preflight, cluster: Cluster) -> bool:
    with (directory.path / SAID).open("w") as said, Progress(config.run.steps, _console(said)) as progress:
        driver = Driver(config, directory, found, StartPoint(found.model.path), progress, cluster)
        try:
            finished = asyncio.run(driver.run())
        except asyncio.CancelledError as error:
            raise KeyboardInterrupt from error
        if driver.stopping:  # a cell that was cut short is no cell
            raise KeyboardInterrupt
        return finished
