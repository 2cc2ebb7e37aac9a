"""The README's picture, from a run of the quickstart: ``python -m tests.bench.readme_picture runs/quickstart``."""

import sys
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from effrl.run import metrics
from effrl.run.metrics import MetricsRow

OUT = Path("docs/quickstart.png")
EVALUATION = {"accuracy": "eval/accuracy", "maj@4": "eval/maj@4", "pass@4": "eval/pass@4"}
FATES = {"learned from": "groups/trained", "without signal": "groups/filtered"}


def lines(axis: Axes, title: str, rows: list[MetricsRow], series: dict[str, str], marker: str = "") -> None:
    """One line per metric, at the steps that have it, with its last value in the legend."""
    for label, name in series.items():
        points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
        axis.plot(*zip(*points, strict=True), marker=marker, markersize=4, label=f"{label} {points[-1][1]:.3g}")
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_xlabel("step")
    axis.grid(axis="y", alpha=0.3)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)


def main(run: Path) -> None:
    rows = metrics.read(run / "metrics.jsonl")
    steps = [row for row in rows if row["step"] > 0]
    figure = Figure(figsize=(11, 3), dpi=100, layout="constrained")
    reward, evaluation, fates = figure.subplots(1, 3)
    lines(reward, "mean outcome of a step's rollouts", steps, {"outcome": "reward/outcome_mean"})
    lines(evaluation, "128 held-out prompts", rows, EVALUATION, marker="o")
    lines(fates, "groups of a step", steps, FATES)
    figure.savefig(OUT)
    print(OUT)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
