"""The figures of a study, a PNG per family: above, each arm's seeds against steps; below, all arms against costs.

And, where the study names a curve, a second one with the final values of the arms that lie on it.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from tests.bench.grid import Curve, Study
from tests.bench.results import Point, Result
from tests.bench.statistics import mean

Arms = Mapping[str, Sequence[Result]]
"""Arm to its finished runs, at least one each."""

Spent = Callable[[Point], float]

_COSTS: dict[str, Spent] = {
    "labels bought": lambda point: point.costs.labels,
    "rollouts": lambda point: point.costs.rollouts,
    "generated tokens": lambda point: point.costs.tokens,
}
_INK, _FAINT, _GRID, _BASELINE = "#222222", "#6a6a6a", "#e6e6e6", "#a3a3a3"
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e0a000", "#56b4e9", "#7b3fa0", "#8b4513")
"""Told apart by colour-blind readers too, after Okabe and Ito; beyond them the dashes change."""
_DASHES = ("-", (0, (3, 1.2)), (0, (1, 1.2)))
_PER_ROW = 4
_UNITS = 12
"""Columns of the layout: any number of panels up to four fills a row of it."""
_WIDTH, _ARM_HEIGHT, _COST_HEIGHT, _LEGEND_HEIGHT = 10.0, 2.1, 3.1, 0.25
"""Inches."""
_DPI = 100
_PNG_COLOURS = 128
"""Colours of the palette: a quarter of the bytes of full colour, and no eye sees it in lines on white."""


def draw_family(study: Study, family: str, arms: Arms, path: Path) -> None:
    """Draw the runs of a family. What nobody spent gets no panel."""
    points = [point for results in arms.values() for result in results for point in result.curve]
    costs = {title: spent for title, spent in _COSTS.items() if any(spent(point) > 0 for point in points)}
    figure, arm_axes, cost_axes = _layout(len(arms), len(costs))
    for axis, arm in zip(arm_axes, arms, strict=True):
        _draw_seeds(axis, study, arm, arms)
    for axis, (title, spent) in zip(cost_axes, costs.items(), strict=True):
        axis.set_xlabel(title, color=_INK, fontsize=9)
        for arm, results in arms.items():
            _draw_mean(axis, study, arm, results, spent)
    metric = study.metric.removeprefix("eval/")
    title = f"{family}: held-out {metric}      thick: mean over seeds, thin: each seed, grey: {study.baseline}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=_INK)
    handles = [Line2D([], [], label=arm, **_style(study, arm)) for arm in arms]
    figure.legend(handles=handles, loc="outside lower center", ncols=_legend_columns(arms), frameon=False, fontsize=9)
    _save(figure, path)


def draw_curve(study: Study, curve: Curve, family: str, arms: Arms, path: Path) -> None:
    """Draw the final values of a family's arms over what they got; bars are 95 % t intervals.

    The places on the axis are evenly spaced: shares of 1, 2, 5, … % would crowd at one end.
    """
    figure = Figure(figsize=(_WIDTH * 0.6, _COST_HEIGHT), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    _dress(axis)
    places = sorted({x for line in curve.series.values() for x in line} | curve.ends.keys())
    for colour, (name, line) in zip(_COLOURS, curve.series.items(), strict=False):
        finished = {x: arm for x, arm in sorted({**line, **curve.ends}.items()) if arm in arms}
        found = [mean([result.final(study.metric) for result in arms[arm]]) for arm in finished.values()]
        at = [places.index(x) for x in finished]
        axis.plot(at, [entry.value for entry in found], color=colour, linewidth=1.8, marker="o", label=name)
        axis.errorbar(
            at, [entry.value for entry in found], [entry.half_width or 0.0 for entry in found], color=colour, alpha=0.5
        )
    axis.set_xticks(range(len(places)), [f"{x:g}" for x in places])
    axis.set_xlabel(curve.over, color=_INK, fontsize=9)
    title = f"{family}: held-out {study.metric.removeprefix('eval/')} after the last step"
    axis.set_title(title, loc="left", fontsize=10, color=_INK)
    axis.legend(frameon=False, fontsize=9)
    _save(figure, path)


def _layout(arms: int, costs: int) -> tuple[Figure, list[Axes], list[Axes]]:
    """Rows of small panels, one per arm, above one row of cost panels; the axis of the metric is the same in all."""
    columns = min(_PER_ROW, arms)
    rows = -(-arms // columns)
    heights = [_ARM_HEIGHT] * rows + [_COST_HEIGHT] * (costs > 0)
    figure = Figure(figsize=(_WIDTH, sum(heights) + 0.3 + _LEGEND_HEIGHT * rows), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(heights), _UNITS, height_ratios=heights)
    places = [_place(index, columns) for index in range(arms)]
    first = figure.add_subplot(grid[places[0]])
    arm_axes = [first, *(figure.add_subplot(grid[place], sharex=first, sharey=first) for place in places[1:])]
    cost_axes = [figure.add_subplot(grid[rows, _place(index, costs)[1]], sharey=first) for index in range(costs)]
    for axis in (*arm_axes, *cost_axes):
        _dress(axis)
    for axis in arm_axes[-columns:]:
        axis.set_xlabel("optimizer steps", color=_INK, fontsize=9)
    return figure, arm_axes, cost_axes


def _place(index: int, columns: int) -> tuple[int, slice]:
    """Row and units of a panel."""
    row, column = divmod(index, columns)
    span = _UNITS // columns
    return row, slice(column * span, (column + 1) * span)


def _dress(axis: Axes) -> None:
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(_FAINT)
    axis.grid(axis="y", color=_GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(length=0, colors=_FAINT, pad=4, labelsize=8)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True))
    axis.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axis.margins(x=0.03, y=0.06)


def _draw_seeds(axis: Axes, study: Study, arm: str, arms: Arms) -> None:
    """The arm's seeds and their mean, over the baseline's mean."""
    style = _style(study, arm)
    axis.set_title(arm, loc="left", fontsize=9, color=_INK if arm == study.baseline else style["color"])
    if study.baseline in arms:
        _draw_mean(axis, study, study.baseline, arms[study.baseline], _steps)
    for result in arms[arm]:
        line = _line(study, result, _steps)
        # On the wide grey line of the baseline itself, its seeds would not be seen in grey.
        colour = _INK if arm == study.baseline else style["color"]
        axis.plot(*zip(*line.values(), strict=True), color=colour, linewidth=0.8, alpha=0.6)
    if arm != study.baseline:
        _draw_mean(axis, study, arm, arms[arm], _steps)


def _draw_mean(axis: Axes, study: Study, arm: str, results: Sequence[Result], spent: Spent) -> None:
    style = _style(study, arm)
    seeds = [_line(study, result, spent) for result in results]
    # At a step that only some seeds reached, the mean would jump to that of other runs.
    common = sorted(set(seeds[0]).intersection(*seeds))
    means = np.array([np.mean([line[step] for line in seeds], axis=0) for step in common])
    axis.plot(means[:, 0], means[:, 1], **style)
    axis.plot(*means[-1], marker="o", markersize=style["linewidth"] + 2.5, color=style["color"], zorder=style["zorder"])


def _line(study: Study, result: Result, spent: Spent) -> dict[int, tuple[float, float]]:
    """Step to (spent, metric) at every evaluation that has the metric."""
    values = ((point, point.metrics.get(study.metric)) for point in result.curve)
    return {point.step: (spent(point), value) for point, value in values if value is not None}


def _steps(point: Point) -> float:
    return point.step


def _style(study: Study, arm: str) -> dict[str, Any]:
    """The baseline is a wide grey line below the others: an arm that equals it is a thin line inside."""
    if arm == study.baseline:
        return {"color": _BASELINE, "linewidth": 4.0, "zorder": 1.9, "solid_capstyle": "round"}
    index = [name for name in study.arms if name != study.baseline].index(arm)
    dash = _DASHES[index // len(_COLOURS) % len(_DASHES)]
    return {"color": _COLOURS[index % len(_COLOURS)], "linewidth": 1.8, "linestyle": dash, "zorder": 2.1}


def _legend_columns(arms: Arms) -> int:
    """As many as fit side by side; a name of 20 letters takes a quarter of the width."""
    return max(1, min(len(arms), 6, 100 // (max(map(len, arms)) + 8)))


def _short(value: float) -> str:
    """A number for an axis: ``500``, ``2k``, ``12.5k``, ``1.5M``."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


def _save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    image = Image.open(buffer).convert("RGB").quantize(_PNG_COLOURS, dither=Image.Dither.NONE)
    image.save(path, optimize=True)
