"""The plots of a report: matplotlib figures as inline SVG that take their colours from the page.

Figures are drawn in placeholder colours, which become CSS variables: one SVG is legible on light and dark paper.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = 8
"""Colours that the page defines, as ``--c0`` … ``--c7``."""

_VARIABLES = {"#010101": "ink", "#010102": "faint", "#010103": "grid"} | {
    f"#0102{index:02x}": f"c{index}" for index in range(COLOURS)
}
_INK, _FAINT, _GRID = list(_VARIABLES)[:3]
_PANEL_INCHES = (5.4, 2.5)


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a plot: ``x`` and ``y`` of the same length, in data units."""

    x: Sequence[float]
    y: Sequence[float]
    colour: int
    dash: str = "-"
    """A matplotlib line style."""
    faint: bool = False
    """Drawn behind, as the noise around a smoothed curve."""
    dots: bool = False


@dataclass(frozen=True, slots=True)
class Stack:
    """Layers above each other, each a (colour, heights) pair over the same integer steps."""

    steps: Sequence[int]
    layers: Sequence[tuple[int, Sequence[float]]]


Panel = Sequence[Curve] | Stack


def draw(panels: Mapping[str, Panel], key: str, over: str = "step") -> str:
    """Draw panels, two per row, with the same axes; titles are shown where there are several.

    Args:
        panels: title to content.
        key: unique within the page: it keeps the ids of its SVG elements apart from other plots'.
        over: what the horizontal axis shows.

    Returns:
        An ``<svg>`` element without scripts, links or fixed colours.
    """
    with _style(key):
        figure, axes = _grid(len(panels))
        for axis, (title, panel) in zip(axes, panels.items(), strict=True):
            _dress(axis, title if len(panels) > 1 else "", over)
            _fill(axis, panel)
        low, high = axes[0].dataLim.intervalx
        if len(axes) == 1 and low == high:
            axes[0].set_xlim(low - 1, high + 1)  # A lone step needs neighbours for its axis to have whole numbers.
        return _to_svg(figure)


def compact(value: float) -> str:
    """A number for people: ``15.4k``, ``1.25M``, ``12``, ``0.441``."""
    for least, unit, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / unit:.3g}{letter}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.3g}"


@contextmanager
def _style(key: str) -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": key, "font.size": 8.5}):
        yield


def _grid(panels: int) -> "tuple[Figure, list[Axes]]":
    """A figure of at most two panels per row, which share their axes."""
    from matplotlib.figure import Figure

    columns = min(2, panels)
    rows = -(-panels // columns)
    width, height = _PANEL_INCHES
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for spare in axes[panels:]:
        spare.set_axis_off()
    return figure, axes[:panels]


def _dress(axis: "Axes", title: str, over: str) -> None:
    """Nothing but what helps to read a value."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(_FAINT)
    axis.grid(axis="y", color=_GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(length=0, colors=_FAINT, pad=5, labelbottom=True)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, steps=[1, 2, 5, 10]))
    axis.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: compact(value)))
    axis.set_xlabel(over, color=_FAINT, labelpad=3)
    # A run's name is no formula, whatever dollar signs it holds.
    axis.set_title(title, loc="left", color=_INK, fontsize=9, parse_math=False)


def _fill(axis: "Axes", panel: Panel) -> None:
    if isinstance(panel, Stack):
        _draw_stack(axis, panel)
        return
    for curve in panel:
        _draw_curve(axis, curve)


def _draw_curve(axis: "Axes", curve: Curve) -> None:
    # A single value has no line: without its dot it would be invisible.
    marker = "o" if curve.dots or len(curve.x) == 1 else ""
    axis.plot(
        curve.x,
        curve.y,
        color=_colour(curve.colour),
        linestyle=curve.dash,
        linewidth=1.0 if curve.faint else 1.8,
        alpha=0.35 if curve.faint else 1.0,
        marker=marker,
        markersize=3.5,
        solid_joinstyle="round",
    )
    axis.margins(x=0.02, y=0.12)


def _draw_stack(axis: "Axes", stack: Stack) -> None:
    """One column per step, drawn as one outline per layer: a long run stays a small file."""
    edges = [step - 0.5 for step in stack.steps] + [stack.steps[-1] + 0.5]
    floor = [0.0] * len(edges)
    for colour, heights in stack.layers:
        top = [low + height for low, height in zip(floor, [*heights, heights[-1]], strict=True)]
        axis.fill_between(edges, floor, top, step="post", color=_colour(colour), linewidth=0)
        floor = top
    axis.margins(x=0.01)
    axis.set_ylim(bottom=0)


def _colour(index: int) -> str:
    return f"#0102{index % COLOURS:02x}"


def _to_svg(figure: "Figure") -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    head, body = svg[svg.index("<svg") :].split(">", 1)
    # The page sets size and fonts: what matplotlib writes into the elements would win over its style sheet.
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|font-family: [^;]*; ", "", body, flags=re.DOTALL)
    return re.sub("|".join(_VARIABLES), lambda match: f"var(--{_VARIABLES[match[0]]})", f"{head}>{body}")
