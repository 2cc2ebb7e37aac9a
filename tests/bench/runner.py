"""Runs the cells of a study one after the other; what is finished stays finished."""

import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal, Protocol

import effrl
from effrl.config.schema import Config
from effrl.errors import RunError, UserError
from effrl.report.progress import duration
from effrl.run import metrics
from tests.bench.grid import Cell, Study, fingerprint
from tests.bench.results import CellStore, Result, curve, hardware, series

_ERROR_WIDTH = 300


class Executor(Protocol):
    """Runs one config."""

    def __call__(self, config: Config, run_dir: Path) -> bool:
        """Train, and leave ``run_dir/metrics.jsonl``, whose row 0 is the base; ``config.run.dir`` is not set.

        Returns whether the run came to its end, which a stage's own rule can bring before the last step.

        ``run_dir`` does not exist yet, its parent does. Whatever is raised makes this cell fail, and no other.
        """
        ...


@dataclass(frozen=True, slots=True)
class Planned:
    """A cell with the config that it has today, and what was measured, if it was."""

    cell: Cell
    overrides: tuple[str, ...]
    config: Config
    result: Result | None

    @property
    def state(self) -> Literal["missing", "done", "changed"]:
        """``changed``: it was run with another config."""
        if self.result is None:
            return "missing"
        return "done" if self.result.config_hash == fingerprint(self.config) else "changed"


def plan(study: Study, cells: Sequence[Cell], store: CellStore) -> list[Planned]:
    """Resolve the config of every cell, and look for its result.

    Raises:
        UserError: an override does not fit, or a result cannot be read.
    """
    return [Planned(cell, tuple(study.overrides_of(cell)), study.config(cell), store.read(cell)) for cell in cells]


def unfinished(planned: Sequence[Planned], store: CellStore) -> list[Planned]:
    """What is left to run.

    Raises:
        UserError: a finished cell was run with another config; new runs beside it would be compared with it.
    """
    changed = [entry.cell.name for entry in planned if entry.state == "changed"]
    if changed:
        raise UserError(
            f"run with another config than today's: {', '.join(changed)};"
            f" delete these files in {store.directory}, or rename the arm"
        )
    return [entry for entry in planned if entry.state == "missing"]


@contextmanager
def run_directories(keep: Path | None) -> Iterator[Path]:
    """Where run directories go: ``keep``, or a temporary folder that stays only while a failed run is in it."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    parent = Path(mkdtemp(prefix="effrl-study-"))
    try:
        yield parent
    finally:
        if not any(parent.iterdir()):
            parent.rmdir()


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs cells and keeps their results."""

    metric: str
    store: CellStore
    execute: Executor
    directory: Path
    """Existing folder for run directories."""
    keep: bool
    """Keep the run directories of finished cells."""
    say: Callable[[str], None]

    def run(self, todo: Sequence[Planned], known_s: Sequence[float] = ()) -> list[Cell]:
        """Run cells; return those that failed. Ctrl-C loses the current cell only.

        Args:
            todo: cells without a result.
            known_s: seconds that finished cells took, from which the time left is estimated.
        """
        failed, seconds = [], list(known_s)
        for number, planned in enumerate(todo, start=1):
            told = self._attempt(planned)
            if isinstance(told, Result):
                seconds.append(told.wall_s)
                told = self._summary(told)
            else:
                failed.append(planned.cell)
            left = time_left(len(todo) - number, seconds)
            self.say(f"{number}/{len(todo)} {planned.cell.name}  {told}{left}")
        return failed

    def _attempt(self, planned: Planned) -> Result | str:
        """The result, which is kept by then; or what failed, in one line."""
        run_dir = self._new_directory(planned.cell)
        failed = False
        try:
            return self._measure(planned, run_dir)
        except Exception as error:  # whatever one run dies of, the others are worth having
            failed = True
            _write_traceback(run_dir, error)
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:_ERROR_WIDTH]
            return f"failed, see {run_dir} ({reason})"
        finally:
            if not failed and not self.keep:
                shutil.rmtree(run_dir, ignore_errors=True)

    def _measure(self, planned: Planned, run_dir: Path) -> Result:
        began = time.monotonic()
        finished = self.execute(planned.config, run_dir)
        wall_s = time.monotonic() - began
        rows = metrics.read(run_dir / "metrics.jsonl")
        if rows and not finished:
            raise RunError(f"it stopped after step {rows[-1]['step']} of {planned.config.run.steps}")
        points = curve(rows, self.metric)
        result = Result(
            family=planned.cell.family,
            arm=planned.cell.arm,
            seed=planned.cell.seed,
            overrides=planned.overrides,
            config_hash=fingerprint(planned.config),
            version=effrl.__version__,
            hardware=hardware(),
            wall_s=round(wall_s, 1),
            finals=points[-1].metrics,
            curve=points,
            series=series(rows),
        )
        self.store.write(result)
        return result

    def _new_directory(self, cell: Cell) -> Path:
        """A path that is free: what an earlier attempt left is not touched."""
        path, number = self.directory / cell.name, 1
        while path.exists():
            number += 1
            path = self.directory / f"{cell.name}-{number}"
        return path

    def _summary(self, result: Result) -> str:
        base, final = result.base(self.metric), result.final(self.metric)
        return f"{self.metric} {base:.3f} → {final:.3f} in {duration(result.wall_s)}"


def time_left(cells: int, seconds: Sequence[float]) -> str:
    """What to say about the time for ``cells`` more, when finished ones took ``seconds``; nothing where unknown."""
    return f", {duration(cells * sum(seconds) / len(seconds))} left" if cells and seconds else ""


def _write_traceback(run_dir: Path, error: Exception) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "traceback.txt").open("w") as file:
        traceback.print_exception(error, file=file)
