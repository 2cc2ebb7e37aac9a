"""A picture of certainties: their histogram with the zone, and how they depend on the length of the target."""

from collections.abc import Sequence
from pathlib import Path

INK, FAINT, ZONE = "#37474f", "#90a4ae", "#ef6c00"


def draw(certainties: Sequence[float], tokens: Sequence[int], chosen: Sequence[int], path: Path) -> None:
    """Write a PNG file.

    Args:
        certainties: [N] in [0, 1].
        tokens: [N] of each target.
        chosen: indices of the zone, at least one.
        path: file to write.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    inside = [certainties[index] for index in chosen]
    figure = Figure(figsize=(9, 3.4), layout="constrained", dpi=120)
    left, right = figure.subplots(1, 2)
    left.hist(certainties, bins=40, range=(0, 1), color=FAINT)
    left.axvspan(min(inside), max(inside), color=ZONE, alpha=0.35, label=f"zone: {len(inside):,} prompts")
    left.set(xlabel="certainty", ylabel="prompts")
    left.legend(frameon=False)
    right.plot(tokens, certainties, ".", color=FAINT, alpha=0.5, markersize=4)
    right.plot([tokens[index] for index in chosen], inside, ".", color=ZONE, markersize=5)
    right.set(xlabel="tokens of the target", ylabel="certainty", ylim=(-0.02, 1.02))
    right.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(colors=INK)
    figure.savefig(path, format="png")
