"""Whether a zone is worth drawing from: groups with signal among its own, against those of uniform draws."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

ZONE, CONTROL = 128, 64
"""Newest groups of either part that are compared: a policy moves, and what a zone was worth it may not be now."""
ENOUGH_ZONE, ENOUGH_CONTROL = 32, 16
"""Groups from which a zone is judged."""
REST = 4
"""Steps without a zone that has failed for the first time; twice as many with each further time."""


@dataclass
class Gate:
    """Open while the zone's share of groups with signal is larger than its control's.

    A zone that falls behind is closed for some steps and then put on trial anew. Whether to close is asked after each
    step, so a zone that is better by little is closed now and then: by simulation (``tests/bench/gate.py``), one whose
    share is 0.55 beside 0.30 is closed by mistake in 1 of 100 runs of 50 steps, one of 0.45 in 41, and one that is no
    better in all of them, for two thirds of their steps.
    """

    zone: deque[bool] = field(default_factory=lambda: deque(maxlen=ZONE))
    control: deque[bool] = field(default_factory=lambda: deque(maxlen=CONTROL))
    closings: int = 0
    rest: int = 0
    """Steps until the next trial; 0 while it is open."""

    @property
    def is_open(self) -> bool:
        return self.rest == 0

    def observe(self, zone: Sequence[bool], control: Sequence[bool]) -> bool:
        """Take note of a step's groups, true where there was signal; whether a new trial begins."""
        self.zone.extend(zone)
        self.control.extend(control)
        if not self.is_open:
            self.rest -= 1
            if self.is_open:
                self.zone.clear()
            return self.is_open
        if len(self.zone) >= ENOUGH_ZONE and len(self.control) >= ENOUGH_CONTROL and self.gain <= 0:
            self.rest = REST * 2**self.closings
            self.closings += 1
        return False

    @property
    def gain(self) -> float:
        """By how much the zone's share of groups with signal exceeds its control's; 0 before both have any."""
        return share(self.zone) - share(self.control) if self.zone and self.control else 0.0

    @property
    def error(self) -> float:
        """Standard error of the gain; 0 before both have groups."""
        if not self.zone or not self.control:
            return 0.0
        return sqrt(sum(share(part) * (1 - share(part)) / len(part) for part in (self.zone, self.control)))

    def state(self) -> dict[str, Any]:
        """JSON-serialisable."""
        return {
            "zone": [*self.zone],
            "control": [*self.control],
            "closings": self.closings,
            "rest": self.rest,
        }

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> "Gate":
        """As :meth:`state` has it."""
        gate = cls(closings=state["closings"], rest=state["rest"])
        gate.zone.extend(state["zone"])
        gate.control.extend(state["control"])
        return gate


def share(groups: Sequence[bool] | deque[bool]) -> float:
    """Of the groups with signal."""
    return sum(groups) / len(groups)
