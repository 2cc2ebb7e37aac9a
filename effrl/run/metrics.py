"""What a run measures: one JSON object per step in ``metrics.jsonl``, the sinks that may copy it, and stage times.

The file is written first and is the truth; a sink (TensorBoard, …) may fail without hurting the run.
"""

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np

from effrl.errors import UserError
from effrl.run.lines import cut, from_end
from effrl.run.timeline import DRIVER, Timeline

MetricsRow = Mapping[str, Any]
"""One step: ``step`` (0 is the base), then numbers, booleans, strings or None under names such as ``time/learn_s``."""

Phase = Literal[
    "prepare",
    "scout",
    "rollout",
    "read",
    "view",
    "label",
    "people",
    "score",
    "process",
    "learn",
    "publish",
    "eval",
    "commit",
    "monitor",
]
PHASES: tuple[Phase, ...] = get_args(Phase)

EXTRA_ROLLOUTS = ("scout/rollouts", "prepare/rollouts", "prepare/easy_rollouts", "rollout/stale")
"""Rollouts beside those of the steps: they measured prompts, labelled a pool, or came too late to be learned from."""
EXTRA_TOKENS = ("scout/tokens", "prepare/tokens", "prepare/easy_tokens", "rollout/stale_tokens")
"""Tokens generated in them."""
ROLLOUTS = ("rollout/count", *EXTRA_ROLLOUTS)
TOKENS = ("rollout/tokens", *EXTRA_TOKENS)

_logger = logging.getLogger(__name__)


class MetricsLog:
    """Appends rows to a JSON Lines file; a row that was appended survives a crash."""

    def __init__(self, path: Path) -> None:
        """Open a log, new or old. The torn line that a crash may have left at its end is removed."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        _rewrite(path, [line for line, _ in _sound_lines(path)])

    def append(self, row: MetricsRow) -> None:
        """Write one row to disk: ``step`` first, the other keys sorted, what is not finite as null."""
        line = json.dumps(plain(row), allow_nan=False) + "\n"
        with self.path.open("ab") as file:
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSON Lines file, in order, without a torn last line; none where there is no file.

    Raises:
        UserError: a line other than the last is not JSON.
    """
    return [row for _, row in _sound_lines(path)]


def truncate_after(path: Path, step: int) -> None:
    """Remove the rows of all steps after ``step``, for a resume. Rows are in order of steps: only the end is read.

    Raises:
        UserError: a line there is not JSON.
    """
    cut(path, next((start + len(line) for start, line in from_end(path) if _step_in(path, line) <= step), 0))


def _step_in(path: Path, line: bytes) -> int:
    try:
        step: int = json.loads(line)["step"]
    except ValueError as error:
        raise UserError(f"{path} has a line that is not JSON, {line[:40]!r}: remove it or restore the file") from error
    return step


def _sound_lines(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Each line, newline included, and the object that it holds."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    sound = []
    for number, line in enumerate(lines, start=1):
        try:
            sound.append((line + b"\n", json.loads(line)))
        except ValueError as error:
            if number < len(lines):
                raise UserError(f"{path}:{number} is not JSON: remove the line or restore the file") from error
    return sound


def _rewrite(path: Path, lines: Sequence[bytes]) -> None:
    """Replace the file where its content would change; a crash leaves the old one or the new one."""
    content = b"".join(lines)
    if not path.exists() or path.read_bytes() == content:
        return
    draft = path.with_name(path.name + ".draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def total(rows: Iterable[MetricsRow], names: Sequence[str]) -> int:
    """The sum of some metrics over rows; a row that lacks one adds nothing."""
    return sum(int(row.get(name) or 0) for row in rows for name in names)


def plain(row: MetricsRow) -> dict[str, Any]:
    """``step`` first, the other keys sorted; values as JSON has them, what is not finite as None."""
    keys = ["step", *sorted(row.keys() - {"step"})]
    return {key: _plain_value(row[key]) for key in keys}


def _plain_value(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Sink(Protocol):
    """Somewhere else to send rows to. Whatever it raises disables it, and nothing more."""

    def write(self, row: MetricsRow) -> None:
        """Take one row, with the key ``step``."""
        ...

    def close(self) -> None:
        """Flush and let go."""
        ...


class Metrics:
    """The log and its sinks: what a run writes its rows to."""

    def __init__(
        self, log: MetricsLog, sinks: Sequence[Sink] = (), warn: Callable[[str], None] = _logger.warning
    ) -> None:
        """``warn`` is told, once per sink, that a sink failed and is off from now on."""
        self._log = log
        self._sinks = list(sinks)
        self._warn = warn

    def write(self, row: MetricsRow) -> None:
        """Append the row to the log, then offer it to every sink that still works."""
        self._log.append(row)
        for sink in list(self._sinks):
            self._guard(sink, partial(sink.write, row))

    def rows(self) -> list[dict[str, Any]]:
        """What was written so far, by earlier attempts too."""
        return read(self._log.path)

    def newest(self, count: int) -> list[dict[str, Any]]:
        """The last ``count`` rows, in order: what lies before them is not read, however long the run is."""
        return [json.loads(line) for _, line in islice(from_end(self._log.path), count)][::-1]

    def close(self) -> None:
        """Close every sink that still works."""
        for sink in list(self._sinks):
            self._guard(sink, sink.close)
        self._sinks.clear()

    def _guard(self, sink: Sink, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # A sink may fail in any way (full disk, network, missing package): the run goes on.
            self._sinks.remove(sink)
            self._warn(f"{type(sink).__name__} is off from now on ({error}); metrics.jsonl still has everything")


@dataclass(eq=False)
class _Open:
    stage: Phase
    since: float


class Stopwatch:
    """Adds up wall-clock seconds per stage of a step.

    Stages may overlap, then each counts in full. Example: ``with clock.stage("rollout"): groups = await take()``.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        tell: Callable[[str], None] = lambda stage: None,
        timeline: Timeline | None = None,
    ) -> None:
        """``tell`` is told the name of every stage that begins; stages are spans of ``timeline``."""
        self._now = now
        self._timeline = timeline or Timeline()
        self._tell = tell
        self._seconds: dict[Phase, float] = dict.fromkeys(PHASES, 0.0)
        self._open: list[_Open] = []
        self._begun: float | None = None

    @contextmanager
    def stage(self, stage: Phase) -> Iterator[None]:
        """Count the time inside the ``with`` block towards a stage, also when it raises."""
        assert stage in PHASES, f"unknown stage {stage!r}"
        self._tell(stage)
        entry = _Open(stage, self._now())
        self._begun = entry.since if self._begun is None else self._begun
        self._open.append(entry)
        try:
            with self._timeline.span(DRIVER, stage):
                yield
        finally:
            self._open.remove(entry)
            self._seconds[stage] += self._now() - entry.since

    def take(self) -> dict[str, float]:
        """Seconds since the last call as ``time/STAGE_s``, every stage present; then start again from zero.

        ``time/step_s`` is the wall time since the first stage began. A stage that is still open (the commit that
        writes the row) counts up to now; the rest of it belongs to the next row.
        """
        now = self._now()
        for entry in self._open:
            self._seconds[entry.stage] += now - entry.since
            entry.since = now
        taken = {f"time/{stage}_s": seconds for stage, seconds in self._seconds.items()}
        taken["time/step_s"] = 0.0 if self._begun is None else now - self._begun
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._begun = now if self._open else None
        return taken
