"""A line for people where selection does not pay: the zone's groups have signal no more often than uniform draws'."""

from collections.abc import Sequence
from dataclasses import dataclass

from effrl.run.metrics import MetricsRow
from effrl.select.control import CLOSED, CONTROL_SHARE, GAIN_ERROR, ZONE_SHARE

NO_GAIN = "select/no_gain"
"""1 in the row of the step after which the zone was closed for the first time."""
MOST_TEACH = 0.85
"""Share of uniform draws with signal from which there is little that any choice could add."""


@dataclass(frozen=True, slots=True)
class NoGain:
    """When it was seen, and by how much."""

    step: int
    zone: float
    """Share of the zone's newest groups that have signal."""
    control: float
    """The same of uniform draws."""
    error: float
    """Standard error of their difference."""

    def __str__(self) -> str:
        seen = (
            f"step {self.step}: selection does not pay: {self.zone:.0%} of the zone's groups have signal,"
            f" {self.control:.0%} of uniform draws' (difference ± {self.error:.0%}). Prompts are drawn"
            " uniformly for some steps, then the zone is tried again"
        )
        if self.control >= MOST_TEACH:
            return f"{seen}; nearly every group teaches here, so select.kind=uniform is as good"
        return f"{seen}; if it fails again, set select.kind=uniform (docs/selection.md, 'When it pays')"


def no_gain(rows: Sequence[MetricsRow]) -> NoGain | None:
    """The first of these steps after which the zone was closed; None where it never was, or there is no zone."""
    for row in rows:
        if row.get(CLOSED) == 1:
            return NoGain(int(row["step"]), *(float(row[name]) for name in (ZONE_SHARE, CONTROL_SHARE, GAIN_ERROR)))
    return None
