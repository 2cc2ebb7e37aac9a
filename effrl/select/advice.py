"""A line for people where selection does not pay: the zone's groups have signal no more often than uniform draws'."""

from collections.abc import Sequence
from dataclasses import dataclass

from effrl.run.metrics import MetricsRow
from effrl.select.control import CLOSED, CONTROL_SHARE, GAIN_ERROR, ZONE_SHARE

REMEDY = "If it fails again, set select.kind=uniform (docs/selection.md, 'When it pays')"
MOST_TEACH = 0.85
"""Share of uniform draws with signal from which there is little that any choice could add."""


@dataclass(frozen=True, slots=True)
class NoGain:
    """By how much it does not."""

    zone: float
    """Share of the zone's newest groups that have signal."""
    control: float
    """The same of uniform draws."""
    error: float
    """Standard error of their difference."""

    def __str__(self) -> str:
        seen = (
            f"selection does not pay: {self.zone:.0%} of the zone's groups have signal,"
            f" {self.control:.0%} of uniform draws' (difference ± {self.error:.0%}). Prompts are drawn"
            " uniformly for some steps, then the zone is tried again"
        )
        if self.control >= MOST_TEACH:
            return f"{seen}; nearly every group teaches here, so uniform draws are as good"
        return seen


def no_gain(rows: Sequence[MetricsRow]) -> NoGain | None:
    """Whether the zone was closed after the last of these steps; None also where there is no zone."""
    if not rows or rows[-1].get(CLOSED) != 1:
        return None
    return NoGain(*(float(rows[-1][name]) for name in (ZONE_SHARE, CONTROL_SHARE, GAIN_ERROR)))
