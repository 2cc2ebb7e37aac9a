"""How far a forecast is off on a run that was measured: a factor for each stage, by which others are multiplied."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any

from effrl.errors import UserError
from effrl.preflight.forecast import Scene, forecast
from effrl.preflight.seconds import StepWork

TIMES = {"rollout": "time/rollout_s", "process": "time/process_s", "learn": "time/learn_s", "publish": "time/publish_s"}
"""What a run tells of the stages; all else of a step is the rest."""


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """What a run says of its machine, and of how long its rollouts are."""

    factors: Mapping[str, float]
    """Measured over predicted seconds, by stage; a stage that the run has not is missing."""
    length: float
    """Mean sampled tokens of a rollout, as a share of ``rollout.max_tokens``."""
    steps: int


def calibrate(scene: Scene, rows: Iterable[Mapping[str, Any]]) -> MeasuredRun:
    """Compare a run's steps, but the first, with what is forecast for the same numbers of rollouts and tokens.

    Args:
        scene: the run's own config, model and device; its factors are 1.
        rows: of ``metrics.jsonl``.

    Raises:
        UserError: no step but the first has learned anything.
    """
    steps = [row for row in rows if row["step"] > 1 and row.get("groups/trained") and not row.get("time/eval_s")]
    if not steps:
        raise UserError(
            "--calibrate needs a run with a step after its first that learned something and had no evaluation: run"
            " three steps with eval.every=100, and give that run directory"
        )
    measured = [measured_s(row, scene.device.is_gpu) for row in steps]
    predicted = [forecast(replace(scene, work=done(scene.work, row))).seconds for row in steps]
    factors = {stage: _ratio(measured, predicted, stage) for stage in (*TIMES, "rest")}
    tokens = fmean(row["rollout/tokens"] / row["rollout/count"] for row in steps)
    found = {stage: factor for stage, factor in factors.items() if factor is not None}
    return MeasuredRun(found, tokens / scene.config.rollout.max_tokens, len(steps))


def _ratio(
    measured: Sequence[Mapping[str, float]], predicted: Sequence[Mapping[str, float]], stage: str
) -> float | None:
    pairs = [(had[stage], told[stage]) for had, told in zip(measured, predicted, strict=True)]
    ratios = [had / told for had, told in pairs if told > 0 and had > 0]
    return median(ratios) if ratios else None


def measured_s(row: Mapping[str, Any], wall: bool) -> dict[str, float]:
    """Seconds of a step by stage; without ``wall`` CPU seconds of all roles, in proportion to the stages' wall time."""
    step = row["time/step_s"]
    seconds = {stage: float(row.get(name) or 0.0) for stage, name in TIMES.items()}
    seconds["rest"] = max(0.0, step - sum(seconds.values()))
    if wall:
        return seconds
    used = sum(float(value or 0.0) for name, value in row.items() if name.startswith("cpu/"))
    return {stage: value / step * used for stage, value in seconds.items()}


def done(work: StepWork, row: Mapping[str, Any]) -> StepWork:
    """What a step of a run really sampled and learned."""
    rollouts, per_prompt = row["rollout/count"], work.rollouts / work.prompts
    sampled = row["rollout/tokens"] / rollouts
    learned = row["groups/trained"] * per_prompt
    return replace(
        work,
        prompts=rollouts / per_prompt,
        rollouts=rollouts,
        sampled_tokens=sampled,
        longest=max(sampled, work.longest),
        learned=learned,
    )
