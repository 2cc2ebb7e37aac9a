"""The charts of a report: which metrics are drawn together, and what their legends say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import Any

from effrl.report.plots import Curve, Panel, Stack, compact, draw
from effrl.run.metrics import PHASES

Rows = Sequence[Mapping[str, Any]]
"""Rows of ``metrics.jsonl`` by step; row 0 is the base."""

Layers = dict[str, list[float]]
"""Name of a layer to its height in each row."""

_DASHES = ("-", "--", ":", "-.")
_STAGE_COLOURS = {stage: index for index, stage in enumerate((*PHASES, "other"))}
_FATE_COLOURS = {
    "trained": 2, "filtered": 7, "unbalanced": 9, "dropped": 1, "failed": 4, "stale": 3, "parked": 6, "carried": 0,
    "rolled_back": 5,
}  # fmt: skip
_SHARES = "label/token_share/*"
_SUPERVISION_COLOURS = {"label": 2, "vote": 0, "drop": 1}
_SMOOTH = 5
"""Steps in the trailing mean that is drawn over a noisy curve."""


@dataclass(frozen=True)
class Key:
    """One entry of a legend."""

    label: str
    value: str
    colour: int
    dash: str = "-"


@dataclass(frozen=True)
class Chart:
    """A plot with what the page writes around it."""

    title: str
    metric: str
    svg: str
    keys: list[Key]
    wide: bool = False


@dataclass(frozen=True)
class LineSpec:
    """A plot of one metric, or of every metric that matches one of several patterns (``eval/pass@*``)."""

    title: str
    metrics: tuple[str, ...]
    smooth: bool = False
    total: bool = False
    """Accumulate over the steps."""
    dots: bool = False


_FIRST = 5
"""Line charts before those of times and fates."""
_LINES = (
    LineSpec("Reward", ("reward/outcome_mean",), smooth=True),
    LineSpec("Process reward of a solution, mean", ("process/reward_mean",), smooth=True),
    LineSpec("Evaluation", ("eval/accuracy", "eval/pass@*", "eval/maj@*", "eval/greedy"), dots=True),
    LineSpec("Rollouts, cumulated", ("rollout/count",), total=True),
    LineSpec("Tokens, cumulated", ("rollout/tokens",), total=True),
    LineSpec("Labels bought, cumulated", ("label/bought_total",)),
    LineSpec("Votes: majority's share, and how many are right", ("label/majority_share", "label/vote_accuracy")),
    LineSpec("Decisions, by labels nobody bought", ("monitor/gate_precision", "monitor/gap_captured"), smooth=True),
    LineSpec("Pairs that the PRM orders rightly", ("process/accuracy", "process/accuracy_matched"), smooth=True),
    LineSpec("Process rewards' share of the advantage", ("process/advantage_share",), smooth=True),
    LineSpec("Entropy of the policy, nats", ("policy/entropy",)),
    LineSpec("Mismatch of engine and learner, KL in nats", ("mismatch/kl",)),
    LineSpec(
        "Tokens of a rollout: of those learned from, and of all that were started",
        ("rollout/length_mean", "rollout/length_started"),
        smooth=True,
    ),
    LineSpec("Age of replayed groups, steps", ("replay/age_mean", "replay/age_max")),
    LineSpec("KL from the initial model, nats", ("loss/kl",)),
    LineSpec("Terms on top of the outcome, means", ("reward/terms/*",)),
    LineSpec(
        "Groups with signal: of the zone, and of uniform draws", ("select/effective_zone", "select/effective_control")
    ),
    LineSpec("Predicted and measured pass rates, correlation", ("select/pearson", "select/noise_ceiling"), smooth=True),
    LineSpec("Difficulty of what was chosen", ("select/difficulty_expected", "select/difficulty_mean"), smooth=True),
    LineSpec("Evaluation on further sets", ("eval/*/accuracy",), dots=True),
)


def charts(runs: Mapping[str, Rows]) -> list[Chart]:
    """Every chart for which the runs (name to rows) recorded something, in the order of the page."""
    steps = {name: [row for row in rows if row["step"] > 0] for name, rows in runs.items()}
    lines = [_line_chart(spec, runs) for spec in _LINES]
    times = {name: _times(rows) for name, rows in steps.items()}
    fates = {name: _layers(rows, {fate: f"groups/{fate}" for fate in _FATE_COLOURS}) for name, rows in steps.items()}
    kinds = {name: _supervised(rows) for name, rows in steps.items()}
    found = [
        *lines[:_FIRST],
        _stack_chart("Time by stage, seconds per step", "time/*_s", steps, times, _STAGE_COLOURS),
        _stack_chart("Groups by fate", "groups/*", steps, fates, _FATE_COLOURS),
        *lines[_FIRST:],
        _labels_chart(runs),
        _stack_chart("Tokens by what supervises them, share of a step", _SHARES, steps, kinds, _SUPERVISION_COLOURS),
        _memory_chart(runs),
    ]
    return [chart for chart in found if chart is not None]


def known(rows: Rows, metric: str) -> list[float]:
    """What is known of a metric, in the order of the rows."""
    return [float(row[metric]) for row in rows if row.get(metric) is not None]


def _line_chart(spec: LineSpec, runs: Mapping[str, Rows]) -> Chart | None:
    curves: list[Curve] = []
    keys: list[Key] = []
    metrics = _recorded(spec.metrics, runs)
    for run_index, (run, rows) in enumerate(runs.items()):
        for index, metric in enumerate(metrics):
            colour = run_index if len(runs) > 1 else index
            curve = _curve(rows, metric, spec, colour, _DASHES[index % len(_DASHES)])
            if curve is not None:
                curves += _smoothed(curve) if spec.smooth else [curve]
                label = " · ".join([run] * (len(runs) > 1) + [metric.split("/", 1)[1]] * (len(metrics) > 1))
                keys.append(Key(label, compact(curve.y[-1]), colour, curve.dash))
    if not curves:
        return None
    return Chart(spec.title, ", ".join(metrics), draw({spec.title: curves}, spec.metrics[0]), keys)


def _labels_chart(runs: Mapping[str, Rows]) -> Chart | None:
    """Accuracy on held-out prompts over the labels that it took; nothing where none was bought."""
    curves, keys = [], []
    for index, (run, rows) in enumerate(runs.items()):
        found = [row for row in rows if row.get("eval/accuracy") is not None]
        labels = [float(row.get("label/bought_total") or 0) for row in found]
        if any(labels):
            curves.append(Curve(labels, known(found, "eval/accuracy"), index, dots=True))
            keys.append(Key(run, compact(curves[-1].y[-1]), index))
    if not curves:
        return None
    title, metric = "Held-out accuracy over labels bought", "eval/accuracy over label/bought_total"
    return Chart(title, metric, draw({title: curves}, "labels", over="labels"), keys if len(runs) > 1 else [])


def _supervised(rows: Rows) -> Layers:
    """Shares of each step's tokens; nothing where all have a label."""
    found = _layers(rows, {kind: _SHARES.replace("*", kind) for kind in _SUPERVISION_COLOURS})
    return found if found.keys() - {"label"} else {}


def _recorded(patterns: Sequence[str], runs: Mapping[str, Rows]) -> list[str]:
    """Recorded metrics that match one of the patterns, in the order of the patterns."""
    names = {name for rows in runs.values() for row in rows for name, value in row.items() if value is not None}
    return [name for pattern in patterns for name in sorted(names) if fnmatchcase(name, pattern)]


def _curve(rows: Rows, metric: str, spec: LineSpec, colour: int, dash: str) -> Curve | None:
    values = known(rows, metric)
    if not values:
        return None
    steps = [row["step"] for row in rows if row.get(metric) is not None]
    return Curve(steps, list(accumulate(values)) if spec.total else values, colour, dash, dots=spec.dots)


def _smoothed(curve: Curve) -> Iterator[Curve]:
    """The curve itself, and over it, where there are enough steps, its trailing mean."""
    if len(curve.y) < 2 * _SMOOTH:
        yield curve
        return
    windows = [curve.y[max(0, end - _SMOOTH) : end] for end in range(1, len(curve.y) + 1)]
    yield replace(curve, faint=True)
    yield replace(curve, y=[sum(window) / len(window) for window in windows])


def _stack_chart(
    title: str, metric: str, steps: Mapping[str, Rows], layers: Mapping[str, Layers], colours: Mapping[str, int]
) -> Chart | None:
    """One panel per run; the legend of a single run tells the share of each layer in the whole."""
    panels: dict[str, Panel] = {
        run: Stack([row["step"] for row in steps[run]], [(colours[name], heights) for name, heights in found.items()])
        for run, found in layers.items()
        if found
    }
    if not panels:
        return None
    sums = {
        name: sum(sum(found[name]) for found in layers.values() if name in found)
        for name in colours
        if any(name in found for found in layers.values())
    }
    shares = {name: f"{value / sum(sums.values()):.0%}" if len(panels) == 1 else "" for name, value in sums.items()}
    keys = [Key(name.replace("_", " "), share, colours[name]) for name, share in shares.items()]
    return Chart(title, metric, draw(panels, metric), keys, wide=len(panels) > 1)


def _layers(rows: Rows, metrics: Mapping[str, str]) -> Layers:
    """Heights of each layer (name to metric) that is not zero throughout; a missing value is zero."""
    heights = {name: [float(row.get(metric) or 0.0) for row in rows] for name, metric in metrics.items()}
    return {name: values for name, values in heights.items() if any(values)}


def _times(rows: Rows) -> Layers:
    """Seconds of each stage, and as ``other`` what no stage accounts for."""
    stages = _layers(rows, {stage: f"time/{stage}_s" for stage in PHASES})
    wall = [float(row.get("time/step_s") or 0.0) for row in rows]
    parts = [sum(values) for values in zip(*stages.values(), strict=True)] or [0.0] * len(rows)
    other = [max(0.0, whole - part) for whole, part in zip(wall, parts, strict=True)]
    return {**stages, "other": other} if sum(other) > 0.01 * sum(wall) else stages


def _memory_chart(runs: Mapping[str, Rows]) -> Chart | None:
    """One panel per run, one curve per role."""
    prefix = "memory/rss_mb/"
    spec = LineSpec("Memory by role, GiB", (f"{prefix}*",))
    metrics = _recorded(spec.metrics, runs)
    found = {
        run: {metric: _in_gib(_curve(rows, metric, spec, index, "-")) for index, metric in enumerate(metrics)}
        for run, rows in runs.items()
    }
    panels: dict[str, Panel] = {run: [curve for curve in curves.values() if curve] for run, curves in found.items()}
    panels = {run: panel for run, panel in panels.items() if panel}
    if not panels:
        return None
    last = {metric: curve.y[-1] for curves in found.values() for metric, curve in curves.items() if curve}
    keys = [
        Key(metric.removeprefix(prefix), f"{last[metric]:.2f}" if len(panels) == 1 else "", index)
        for index, metric in enumerate(metrics)
    ]
    return Chart(spec.title, f"{prefix}*", draw(panels, prefix), keys, wide=len(panels) > 1)


def _in_gib(curve: Curve | None) -> Curve | None:
    return None if curve is None else replace(curve, y=[value / 1024 for value in curve.y])
