"""What is kept of a finished cell: a JSON file of a few kB, made from its ``metrics.jsonl``, without any paths."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from pydantic import Field, ValidationError

from effrl.config.section import Section
from effrl.errors import RunError, UserError
from effrl.run.metrics import ROLLOUTS, TOKENS, MetricsRow, total
from tests.bench.grid import Cell, Study

SERIES = ("reward/outcome_mean", "select/effective_ratio", "time/overhead_ratio")
"""Metrics that are kept for every step, besides those of :data:`SERIES_OF`."""
SERIES_OF = ("label/", "monitor/")
"""Sections of which every metric is kept: who was bought, and how good the decisions were."""

Grid = Mapping[str, Mapping[str, "Sequence[Result]"]]
"""Family to arm to the finished runs, by seed; an arm without one is an empty list."""


class Costs(Section):
    """What a run has spent so far."""

    labels: int = 0
    """Labels bought."""
    rollouts: int = 0
    """Training rollouts, refills included, and those that only looked ahead or labelled a pool."""
    tokens: int = 0
    """Tokens generated in them."""
    scoring_tokens: int = 0
    """Tokens of forward passes that only look at prompts or rollouts."""
    learner_tokens: int = 0
    """Completion tokens that the learner took optimizer steps on."""
    wall_s: float = 0.0
    """Seconds of training steps, without evaluation and start-up."""
    eval_tokens: int = 0
    """Tokens generated in evaluations; in none of the other columns."""
    cpu_s: dict[str, float] = Field(default_factory=dict)
    """CPU seconds of every role, evaluations included and the start-up left out; older cells have none."""

    def after(self, row: MetricsRow) -> "Costs":
        """The costs once the step of ``row`` is done, too."""
        return Costs(
            labels=int(max(self.labels, _number(row, "label/bought_total"))),
            rollouts=self.rollouts + total([row], ROLLOUTS),
            tokens=self.tokens + total([row], TOKENS),
            scoring_tokens=self.scoring_tokens + int(_number(row, "scout/forward_tokens")),
            learner_tokens=self.learner_tokens + int(_number(row, "learn/tokens")),
            # The base's evaluation has no step of its own: its seconds are in both numbers of step 1.
            wall_s=round(self.wall_s + max(0.0, _number(row, "time/step_s") - _number(row, "time/eval_s")), 3),
            eval_tokens=self.eval_tokens + int(_number(row, "eval/tokens")),
            cpu_s=_cpu_after(self.cpu_s, row),
        )


class Point(Section):
    """One evaluation of a run."""

    step: int
    """Optimizer steps done; 0 is the base."""
    metrics: dict[str, float | None]
    """Evaluation metrics by name, null where not finite."""
    costs: Costs
    """What the run had spent by then."""


class Result(Section):
    """A finished cell."""

    family: str
    arm: str
    seed: int
    overrides: tuple[str, ...]
    """All overrides of the recipe, in the order in which they were applied."""
    config_hash: str
    """Hash of the resolved config; see :func:`tests.bench.grid.fingerprint`."""
    version: str
    """effrl that ran it."""
    hardware: str
    """Cores and memory of the machine that ran it."""
    wall_s: float
    """Seconds from start to end of the run, with start-up and evaluation."""
    finals: dict[str, float | None]
    """Evaluation metrics after the last step."""
    curve: tuple[Point, ...]
    """Every evaluation, the base first."""
    series: dict[str, tuple[float | None, ...]]
    """Some metrics at every step, from step 1, rounded."""

    @property
    def cell(self) -> Cell:
        """The cell that was run."""
        return Cell(self.family, self.arm, self.seed)

    @property
    def costs(self) -> Costs:
        """What the whole run spent."""
        return self.curve[-1].costs

    def base(self, metric: str) -> float:
        """A metric before the first step."""
        return _known(self.curve[0].metrics, metric)

    def final(self, metric: str) -> float:
        """A metric after the last step."""
        return _known(self.finals, metric)

    def until(self, step: int) -> "Result":
        """The same run as it was after an earlier step.

        Raises:
            UserError: there was no evaluation after that step.
        """
        points = tuple(point for point in self.curve if point.step <= step)
        if points[-1].step != step:
            raise UserError(f"{self.cell.name} was not evaluated after step {step}: name a multiple of its eval.every")
        return self.model_copy(update={"curve": points, "finals": points[-1].metrics})


@dataclass(frozen=True, slots=True)
class CellStore:
    """The finished cells of a study, a file each."""

    directory: Path

    def path(self, cell: Cell) -> Path:
        """Where the result of a cell is, or would be."""
        return self.directory / f"{cell.name}.json"

    def read(self, cell: Cell) -> Result | None:
        """The result of a cell, or None where it is not finished.

        Raises:
            UserError: the file holds something else.
        """
        path = self.path(cell)
        if not path.exists():
            return None
        try:
            result = Result.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise UserError(f"{path} does not hold a finished cell: delete it, and run the study again") from error
        if result.cell != cell:
            raise UserError(f"{path} holds the cell {result.cell.name}: delete it, and run the study again")
        return result

    def write(self, result: Result) -> None:
        """Keep a result; a crash leaves all of the file or nothing of it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.path(result.cell)
        draft = path.with_name(f".{path.name}.draft")
        with draft.open("w") as file:
            file.write(_layout(result.model_dump(mode="json")))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


def curve(rows: Sequence[MetricsRow], metric: str) -> tuple[Point, ...]:
    """The evaluations among the rows of a run.

    Raises:
        RunError: the base or the last step was not evaluated, or its ``metric`` is not a number.
    """
    costs, points = Costs(), []
    for row in rows:
        costs = costs.after(row)
        # Evaluation tokens are a cost: there they are cumulative.
        found = {name: row[name] for name in sorted(row) if name.startswith("eval/") and name != "eval/tokens"}
        if found:
            points.append(Point(step=row["step"], metrics=_rounded(found, 6), costs=costs))
    for place, step in ((0, 0), (-1, rows[-1]["step"] if rows else 0)):
        if not points or points[place].step != step or points[place].metrics.get(metric) is None:
            raise RunError(f"no {metric} at step {step} in its metrics.jsonl: the run is not comparable")
    return tuple(points)


def series(rows: Sequence[MetricsRow]) -> dict[str, tuple[float | None, ...]]:
    """The metrics of :data:`SERIES` and :data:`SERIES_OF` at every step from 1, rounded to four decimals."""
    names = [*SERIES, *sorted({name for row in rows for name in row if name.startswith(SERIES_OF)})]
    steps = [_rounded({name: row.get(name) for name in names}, 4) for row in rows if row["step"] > 0]
    return {name: tuple(step[name] for step in steps) for name in names}


def by_arm(study: Study, results: Sequence[Result]) -> Grid:
    """The results in the order of the study."""
    return {
        family: {
            arm: [result for result in results if (result.family, result.arm) == (family, arm)] for arm in study.arms
        }
        for family in study.families
    }


def hardware() -> str:
    """Cores that this process may use, and memory: what wall times depend on, and nothing that names the machine."""
    cores = len(os.sched_getaffinity(0))
    return f"{cores} {'core' if cores == 1 else 'cores'}, {psutil.virtual_memory().total / 2**30:.0f} GiB memory"


def _number(row: MetricsRow, name: str) -> float:
    return float(row.get(name) or 0)


def _cpu_after(before: Mapping[str, float], row: MetricsRow) -> dict[str, float]:
    roles = [name.removeprefix("cpu/").removesuffix("_s") for name in row if name.startswith("cpu/")]
    return {**before, **{role: round(before.get(role, 0.0) + _number(row, f"cpu/{role}_s"), 2) for role in roles}}


def _known(metrics: Mapping[str, float | None], metric: str) -> float:
    value = metrics.get(metric)
    if value is None:
        raise UserError(f"a finished cell has no {metric}: name a metric of its curve, or run the study again")
    return value


def _rounded(values: Mapping[str, Any], digits: int) -> dict[str, float | None]:
    return {
        name: round(float(value), digits) if value is not None and math.isfinite(value) else None
        for name, value in values.items()
    }


def _layout(record: Mapping[str, Any]) -> str:
    """JSON with a line per field and per point of the curve: a diff of it can be read."""
    fields = {name: json.dumps(value, allow_nan=False) for name, value in record.items() if name != "curve"}
    fields["curve"] = "[\n    " + ",\n    ".join(map(json.dumps, record["curve"])) + "\n  ]"
    return "{\n" + ",\n".join(f'  "{name}": {text}' for name, text in fields.items()) + "\n}\n"
