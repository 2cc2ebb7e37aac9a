"""Pass rates that finished runs have measured: their policies at many moments, for a predictor to learn from."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from effrl.errors import UserError
from effrl.run.directory import RunDirectory
from effrl.types import TRUE_SOURCES


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What groups of a few steps say of nearly one policy.

    Example: ``Snapshot("runs/demo", 1, 4, {"12+34=": 0.25}, 8.0, {"12+34=": "chain/3f2a"})``.
    """

    run: str
    first: int
    """First step."""
    last: int
    rates: Mapping[str, float]
    """Pass rate by the prompt's text; of one that was rolled out several times, the mean."""
    tries: float
    """Mean number of scored rollouts of a group."""
    ids: Mapping[str, str]
    """Prompt id by text."""


def snapshots(runs: Sequence[Path], window: int, at_least: int = 8) -> list[Snapshot]:
    """The snapshots of all runs, run by run and step by step.

    Args:
        runs: run directories.
        window: steps whose groups count as one policy's.
        at_least: prompts of a snapshot; smaller ones are left out.

    Raises:
        UserError: a directory holds no run, or no run has a snapshot.
    """
    found: list[Snapshot] = []
    for run in runs:
        if not RunDirectory(run).config.is_file():
            raise UserError(f"{run} holds no run (it has no config.yaml): name directories that `effrl train` wrote")
        found += [entry for entry in _of_run(run, window) if len(entry.rates) >= at_least]
    if not found:
        raise UserError(
            f"no pass rates in {', '.join(map(str, runs))}: a predictor learns from groups with true labels, at least"
            f" {at_least} prompts in {window} steps; name finished runs, or raise --window"
        )
    return found


def _of_run(run: Path, window: int) -> Iterator[Snapshot]:
    parts = defaultdict[int, list[Mapping[str, Any]]](list)
    for path in sorted(RunDirectory(run).groups.glob("step_*.jsonl")):
        records = _records(path)
        parts[(int(path.stem.removeprefix("step_")) - 1) // window] += records
    for number, records in sorted(parts.items()):
        measured = [(record, outcomes) for record in records if (outcomes := _outcomes(record))]
        if measured:
            yield _snapshot(run, number * window, measured)


def _snapshot(run: Path, before: int, measured: Sequence[tuple[Mapping[str, Any], Sequence[float]]]) -> Snapshot:
    rates = defaultdict[str, list[float]](list)
    for record, outcomes in measured:
        rates[record["prompt"]].append(fmean(outcomes))
    steps = {record["step"] for record, _ in measured}
    return Snapshot(
        run=str(run),
        first=before + 1,
        last=max(steps),
        rates={text: fmean(values) for text, values in rates.items()},
        tries=fmean(len(outcomes) for _, outcomes in measured),
        ids={record["prompt"]: record["prompt_id"] for record, _ in measured},
    )


def _outcomes(record: Mapping[str, Any]) -> list[float]:
    """Outcomes of a group's rollouts; none where it has no true label, or fewer than two could be scored."""
    if record["label_source"] not in TRUE_SOURCES:
        return []
    outcomes = [rollout["outcome"] for rollout in record["rollouts"] if rollout["outcome"] is not None]
    return outcomes if len(outcomes) > 1 else []


def _records(path: Path) -> list[Mapping[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): leave this run out") from error
