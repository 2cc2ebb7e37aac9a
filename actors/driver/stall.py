"""Notices a phase of a step that takes far longer than it did in other steps, while it goes on."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from effrl.advice.overdue import overdue
from effrl.run.metrics import MetricsRow

PAUSE_S = 15.0
"""Between two looks."""
ROWS = 20
"""Newest rows by which a phase is judged."""


@dataclass
class StallWatch:
    """Says once for each phase that is overdue; the deadline of what is waited for ends the run, if anything does."""

    waits: Callable[[], tuple[str, float]]
    """The phase that the run is in, and for how many seconds."""
    newest: Callable[[int], Sequence[MetricsRow]]
    tell: Callable[[str], None]
    pause_s: float = PAUSE_S

    async def watch(self) -> None:
        """Look until cancelled."""
        told = False
        while True:
            await asyncio.sleep(self.pause_s)
            phase, waited = self.waits()
            line = overdue(phase, waited, self.newest(ROWS)) if phase else None
            if line is not None and not told:
                self.tell(line)
            told = line is not None
