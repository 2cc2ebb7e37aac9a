"""Who worked when: the spans of a run's roles, on one clock for all of its processes."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MOST_SPANS = 100_000
"""That are held until they are taken: a row takes some dozens."""

WORK = {"rollout": ("rollouts", "sample"), "learner": ("step", "view")}
"""What is not overhead, by kind of role: as the driver calls it, and as the actor's method is called."""


@dataclass(frozen=True, slots=True)
class Span:
    """One thing that a role did, or that the driver waited for; times are seconds of ``time.time()``."""

    role: str
    name: str
    start: float
    end: float

    @property
    def kind(self) -> str:
        """The role without its number."""
        return self.role.rpartition("-")[0] or self.role

    @property
    def works(self) -> bool:
        """Whether an engine samples or the learner works in it."""
        return self.name in WORK.get(self.kind, ())


def covered(spans: Iterable[Span], start: float, end: float) -> float:
    """Seconds between two times in which at least one span runs."""
    total, until = 0.0, start
    for span in sorted(spans, key=lambda span: span.start):
        begin, finish = max(span.start, until), min(span.end, end)
        if finish > begin:
            total += finish - begin
            until = finish
    return total


class Timeline:
    """The spans that one process sees. Example: ``with timeline.span("learner-0", "step"): await …``."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self._closed: deque[Span] = deque(maxlen=MOST_SPANS)
        self._open: dict[object, Span] = {}

    @contextmanager
    def span(self, role: str, name: str) -> Iterator[None]:
        """Record the ``with`` block, also when it raises."""
        key, start = object(), self.now()
        self._open[key] = Span(role, name, start, start)
        try:
            yield
        finally:
            del self._open[key]
            self._closed.append(Span(role, name, start, self.now()))

    def overhead(self, seconds: float) -> float | None:
        """Share of the last seconds in which no engine samples and no learner works; None of no time at all.

        What still runs counts up to now. What was taken counts no more: ask before.
        """
        if seconds <= 0:
            return None
        now = self.now()
        running = [Span(span.role, span.name, span.start, now) for span in self._open.values()]
        working = [span for span in (*self._closed, *running) if span.works]
        return min(1.0, max(0.0, 1 - covered(working, now - seconds, now) / seconds))

    def take(self) -> list[Span]:
        """What has ended since the last call."""
        taken = list(self._closed)
        self._closed.clear()
        return taken
