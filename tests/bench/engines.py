"""Runs cells on real actors: one Ray for a study, and vLLM engines that serve one run after the other."""

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console

from actors.cluster import Cluster, ray_session
from actors.driver.run import Driver
from effrl.config.load import dump
from effrl.config.schema import Config
from effrl.preflight.check import Preflight, check
from effrl.report.progress import Progress
from effrl.run.directory import RunDirectory
from effrl.run.resume import StartPoint


class Engines:
    """A context manager, and inside it an :class:`~tests.bench.runner.Executor`.

    A run takes over the engines of the run before where model, sizes and placement are the same. That changes no
    result: requests carry their own seeds, caches are emptied with each publish, and the first thing that a taken-over
    engine gets is the run's own weights, proven as in any start-up. After a failure everything starts anew.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._cluster: Cluster | None = None
        self._shape: Any = None

    def __enter__(self) -> Self:
        self._stack.enter_context(ray_session())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()
        self._stack.close()

    def __call__(self, config: Config, run_dir: Path) -> None:
        config = config.model_copy(update={"run": config.run.model_copy(update={"dir": run_dir})})
        found = check(config)
        directory = RunDirectory(run_dir.resolve())
        directory.path.mkdir(parents=True)
        directory.config.write_text(dump(config))
        cluster = self._next(config, directory, found)
        try:
            _run(config, directory, found, cluster)
        except BaseException:
            self._discard()
            raise

    def _next(self, config: Config, directory: RunDirectory, found: Preflight) -> Cluster:
        shape = (found.model.path, found.context, config.model, config.rollout.kv_cache_gb, config.cluster)
        if self._cluster is not None and shape == self._shape:
            self._cluster = self._cluster.successor(config, directory.path)
        else:
            self._discard()
            self._cluster, self._shape = Cluster(config, directory.path), shape
        return self._cluster

    def _discard(self) -> None:
        if self._cluster is not None:
            self._cluster.__exit__()
        self._cluster = None


def _run(config: Config, directory: RunDirectory, found: Preflight, cluster: Cluster) -> None:
    with open(os.devnull, "w") as nowhere, Progress(config.run.steps, Console(file=nowhere)) as progress:
        driver = Driver(config, directory, found, StartPoint(found.model.path), progress, cluster)
        try:
            asyncio.run(driver.run())
        except asyncio.CancelledError as error:
            raise KeyboardInterrupt from error
        if driver.stopping:  # a cell that was cut short is no cell
            raise KeyboardInterrupt
