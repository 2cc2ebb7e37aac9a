"""Votes that feed on themselves: the policy agrees with itself ever more, and finds the right answer ever less."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

import numpy as np

from effrl.run.metrics import MetricsRow

REMEDY = (
    "Stop, go back to the best checkpoint, and buy some labels (label.kind=care) or drop groups (label.rest);"
    " docs/labels.md has more"
)
WINDOW = 4
"""Steps at the beginning and at the end whose means are compared."""
RISE = 0.05
"""By how much the majority's share must have grown."""
KEPT = 0.85
"""Share of the best pass@k that a healthy run keeps. Held-out prompts that some sample solved, and now none does, are
the one sign that a run which learns never shows: its majorities grow too. Of the bench's 24 runs on votes alone, those
that collapse keep 0.10 to 0.62 of it, those that learn 0.91 and more."""


@dataclass(frozen=True, slots=True)
class Collapse:
    """The signs by which it was seen."""

    share: tuple[float, float]
    """Of the majority, in the first steps and in the latest."""
    solved: tuple[float, float]
    """pass@k on held-out prompts, at its best and now."""

    def __str__(self) -> str:
        return (
            f"the votes look like collapsing: majorities grew from {self.share[0]:.0%} to {self.share[1]:.0%} of a"
            f" group while pass@k fell from {self.solved[0]:.2f} to {self.solved[1]:.2f}"
        )


def collapsing(rows: Sequence[MetricsRow]) -> Collapse | None:
    """Whether the last of these rows is an evaluation that shows all signs."""
    if not rows or _solved(rows[-1]) is None:
        return None
    solved = [value for row in rows if (value := _solved(row)) is not None]
    shares, entropies = _values(rows, "label/majority_share"), _values(rows, "label/answer_entropy")
    if len(shares) < 2 * WINDOW or not any(_values(rows, "label/token_share/vote")):
        return None
    early, late = float(np.mean(shares[:WINDOW])), float(np.mean(shares[-WINDOW:]))
    narrower = np.mean(entropies[-WINDOW:]) < np.mean(entropies[:WINDOW])
    if not (late - early >= RISE and narrower and solved[-1] < KEPT * max(solved)):
        return None
    return Collapse((early, late), (max(solved), solved[-1]))


def _solved(row: MetricsRow) -> float | None:
    """Mean pass@k of a row's evaluations."""
    found = [value for name, value in row.items() if fnmatch(name, "eval/*pass@*") and value is not None]
    return float(np.mean(found)) if found else None


def _values(rows: Sequence[MetricsRow], name: str) -> list[float]:
    return [float(row[name]) for row in rows if row.get(name) is not None]
