"""Who worked when: the spans of a run's roles, on one clock for all of its processes."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

DRIVER = "driver"
"""Role of the spans of its own steps and stages."""

MOST_SPANS = 100_000
"""That are held until their step ends: it has some hundreds."""

WORK = {"rollout": ("rollouts", "sample"), "learner": ("step", "view")}
"""What is not overhead, by role without its number: as the driver calls it, and as the actor's method is called."""


@dataclass(frozen=True, slots=True)
class Span:
    """One thing that a role did, or that the driver waited for; times are seconds of ``time.time()``."""

    role: str
    name: str
    start: float
    end: float

    @property
    def family(self) -> str:
        """The role without its number."""
        return self.role.rpartition("-")[0] or self.role

    @property
    def works(self) -> bool:
        """Whether an engine samples or the learner works in it."""
        return self.name in WORK.get(self.family, ())


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

    def __init__(
        self, now: Callable[[], float] = time.time, keep: Callable[[Sequence[Span]], None] = lambda spans: None
    ) -> None:
        """``keep`` gets the spans of each step once it ends; they are dropped here."""
        self._now, self._keep = now, keep
        self._closed: deque[Span] = deque(maxlen=MOST_SPANS)
        self._open: dict[object, Span] = {}
        self._ended = 0.0
        """When the last step did."""

    @contextmanager
    def span(self, role: str, name: str) -> Iterator[None]:
        """Record the ``with`` block, also when it raises."""
        key, start = object(), self._now()
        self._open[key] = Span(role, name, start, start)
        try:
            yield
        finally:
            del self._open[key]
            self._closed.append(Span(role, name, start, self._now()))

    def step(self, number: int, seconds: float) -> float | None:
        """End a step that took the last seconds; the share of them in which no engine sampled and no learner worked.

        What still runs counts up to now. Of a step that took no time there is no share.
        """
        now = self._now()
        overhead = self._overhead(now, seconds) if seconds > 0 else None
        start = max(now - seconds, self._ended)  # seconds come from another clock: steps would overlap by a little
        self._closed.append(Span(DRIVER, f"step {number}", start, now))
        self._ended = now
        self.flush()
        return overhead

    def flush(self) -> None:
        """Give away what has ended."""
        spans = list(self._closed)
        self._closed.clear()
        self._keep(spans)

    def _overhead(self, now: float, seconds: float) -> float:
        running = [Span(span.role, span.name, span.start, now) for span in self._open.values()]
        working = [span for span in (*self._closed, *running) if span.works]
        return min(1.0, max(0.0, 1 - covered(working, now - seconds, now) / seconds))
