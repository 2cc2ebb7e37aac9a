"""What ``--profile`` shows of a run: a trace for chrome://tracing or Perfetto, and a table."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from effrl.run.metrics import MetricsRow
from effrl.run.timeline import DRIVER, Span, covered

STEP = "step "
ORDER = STEPS, STAGES, SEEN, WORKS = "steps", "stages", "seen by the driver", "works"
"""Names of rows, from above."""
SHOWN = 4
"""Methods of a role that the table names."""


def trace(seen: Sequence[Span], inside: Sequence[Span]) -> dict[str, Any]:
    """Chrome's trace events: one process per role, with what the driver saw of it above what it did itself.

    The gap between the two is Ray's: a message on its way, or in a queue. Steps and stages are rows of the driver.
    """
    origin = min((span.start for span in (*seen, *inside)), default=0.0)
    rows: dict[tuple[str, str], list[Span]] = defaultdict(list)
    for span in seen:
        rows[span.role, _row_of(span)].append(span)
    for span in inside:
        rows[span.role, WORKS].append(span)
    numbers = {role: number for number, role in enumerate([DRIVER, *sorted({role for role, _ in rows} - {DRIVER})])}
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": number, "tid": 0, "args": {"name": role}}
        for role, number in numbers.items()
    ]
    threads = dict.fromkeys(numbers, 0)
    for (role, row), spans in sorted(rows.items(), key=lambda entry: ORDER.index(entry[0][1])):
        for lane in [spans] if row == WORKS else _lanes(spans):  # what an actor does is nested, and never overlaps
            thread, threads[role] = threads[role], threads[role] + 1
            place = {"pid": numbers[role], "tid": thread}
            events.append({"ph": "M", "name": "thread_name", **place, "args": {"name": row}})
            events += [_event(span, origin, place) for span in lane]
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _row_of(span: Span) -> str:
    if span.role != DRIVER:
        return SEEN
    return STEPS if span.name.startswith(STEP) else STAGES


def _event(span: Span, origin: float, place: Mapping[str, int]) -> dict[str, Any]:
    start, length = (round(seconds * 1e6) for seconds in (span.start - origin, span.end - span.start))
    return {"ph": "X", "name": span.name, **place, "ts": start, "dur": length}


def _lanes(spans: Iterable[Span]) -> list[list[Span]]:
    """As few rows as it takes for no two spans of a row to overlap: a viewer would hide one of them."""
    lanes: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: span.start):
        free = next((lane for lane in lanes if lane[-1].end <= span.start), None)
        if free is None:
            lanes.append([span])
        else:
            free.append(span)
    return lanes


def table(seen: Sequence[Span], inside: Sequence[Span], rows: Sequence[MetricsRow]) -> str:
    """Seconds by role, and by step what engine and learner took; of the steps that were finished, without the base.

    Args:
        seen: by the driver, its steps among them.
        inside: what the actors measured themselves.
        rows: of ``metrics.jsonl``, for CPU seconds.
    """
    steps = [span for span in seen if span.role == DRIVER and span.name.startswith(STEP) and span.name != f"{STEP}0"]
    if not steps:
        return "no step was finished: there is no profile"
    numbers = {int(span.name.removeprefix(STEP)) for span in steps}
    counted = [row for row in rows if row["step"] in numbers]
    lines = [f"{'role':<12} {'busy s':>8} {'CPU s':>8}  in", *_roles(steps, inside, counted), ""]
    return "\n".join((*lines, f"{len(steps)} steps      {'mean s':>8} {'last s':>8}", *_steps(steps, inside)))


def _roles(steps: Sequence[Span], inside: Sequence[Span], rows: Sequence[MetricsRow]) -> Iterator[str]:
    start, end = steps[0].start, steps[-1].end
    of: dict[str, list[Span]] = defaultdict(list)
    for span in inside:
        of[span.role].append(span)
    used = {key[len("cpu/") : -len("_s")] for row in rows for key in row if key.startswith("cpu/")}
    for role in sorted(of.keys() | used):
        busy = f"{covered(of[role], start, end):.2f}" if role in of else "-"
        cpu = sum(row.get(f"cpu/{role}_s") or 0.0 for row in rows)
        yield f"{role:<12} {busy:>8} {cpu:>8.2f}  {_methods(of.get(role, ()), start, end)}".rstrip()


def _methods(spans: Iterable[Span], start: float, end: float) -> str:
    """What a role was busy with most, and for how long."""
    of: dict[str, list[Span]] = defaultdict(list)
    for span in spans:
        of[span.name].append(span)
    seconds = {name: covered(found, start, end) for name, found in of.items()}
    most = sorted(seconds, key=lambda name: -seconds[name])[:SHOWN]
    return ", ".join(f"{name} {seconds[name]:.2f}" for name in most if seconds[name] >= 0.005)


def _steps(steps: Sequence[Span], inside: Sequence[Span]) -> Iterator[str]:
    """Engine and learner may work at once: what is left is what neither does."""
    working = [span for span in inside if span.works]
    parts = {
        "engine": [_covered(step, [span for span in working if span.family == "rollout"]) for step in steps],
        "learner": [_covered(step, [span for span in working if span.family == "learner"]) for step in steps],
        "all else": [step.end - step.start - _covered(step, working) for step in steps],
        "step": [step.end - step.start for step in steps],
    }
    for name, seconds in parts.items():
        yield f"{name:<12} {sum(seconds) / len(seconds):>8.2f} {seconds[-1]:>8.2f}"


def _covered(step: Span, spans: Iterable[Span]) -> float:
    return covered(spans, step.start, step.end)
