"""What the arms measured, as rows of one step each: names to numbers, in seconds, rollouts and tokens."""

import json
import resource
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from effrl.types import Fate

Row = dict[str, float]

_TIMES = {
    "wall_s": "time/step_s",
    "rollout_s": "time/rollout_s",
    "learn_s": "time/learn_s",
    "publish_s": "time/publish_s",
    "rollouts": "rollout/count",
    "tokens": "rollout/tokens",
}
"""Names of a row to those of a run's metrics."""


def of_metrics(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Steps of a run's metrics; row 0 is the start-up. ``cpu_s`` is the sum of all roles, where a run tells it."""
    return [_of_step(row) for row in rows if row["step"] > 0]


def _of_step(row: Mapping[str, Any]) -> Row:
    found = {name: float(row[metric]) for name, metric in _TIMES.items()}
    found["learned_tokens"] = float(row["learn/tokens"]) if row["groups/trained"] else 0.0  # a step without is empty
    roles = {name: float(value) for name, value in row.items() if name.startswith("cpu/") and value is not None}
    if roles:
        found["cpu_s"] = sum(roles.values())
    return found


def sampled(records: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rollouts of one step out of its records in the group store: prompt, length, and whether it was learned."""
    return [
        {"prompt": record["prompt"], "tokens": rollout["tokens"], "learned": record["fate"] == Fate.TRAINED}
        for record in records
        for rollout in record["rollouts"]
    ]


def read(path: Path) -> list[Any]:
    """The lines of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, rows: Iterable[Any]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def passes(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Lengths sorted and cut into passes, each of at most ``tokens`` with its padding, or of one row."""
    cut: list[list[int]] = []
    for length in sorted(lengths):
        if cut and length * (len(cut[-1]) + 1) <= tokens:
            cut[-1].append(length)
        else:
            cut.append([length])
    return cut


class Clock:
    """Wall and CPU seconds of this process and of its children that have ended, since the last look."""

    def __init__(self) -> None:
        self._then = _now()

    def lap(self) -> Row:
        """``wall_s`` and ``cpu_s`` since the start or the last lap."""
        now, then = _now(), self._then
        self._then = now
        return {"wall_s": now[0] - then[0], "cpu_s": now[1] - then[1]}


def _now() -> tuple[float, float]:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(usage.ru_utime + usage.ru_stime for usage in used)
