"""The trace and the table of a profiled run, from spans."""

from collections.abc import Sequence
from typing import Any

import pytest

from effrl.report.profile import table, trace
from effrl.run.timeline import Span

SEEN = [
    Span("driver", "step 0", 90.0, 100.0),
    Span("driver", "rollout", 100.0, 104.0),
    Span("rollout-0", "rollouts", 100.0, 104.0),
    Span("driver", "learn", 104.0, 109.0),
    Span("learner-0", "step", 104.0, 109.0),
    Span("driver", "step 1", 100.0, 110.0),
    Span("driver", "step 2", 110.0, 116.0),
]
INSIDE = [
    Span("rollout-0", "sample", 91.0, 99.0),  # the base: in no figure
    Span("rollout-0", "sample", 100.5, 103.5),
    Span("rollout-0", "render", 100.6, 101.0),  # within it
    Span("learner-0", "step", 104.5, 108.5),
    Span("learner-0", "snapshot", 108.6, 109.1),
    Span("rollout-0", "sample", 110.0, 114.0),
    Span("learner-0", "step", 113.0, 115.0),  # beside the engine
]
ROWS = [
    {"step": 0, "cpu/learner-0_s": 100.0},
    {"step": 1, "cpu/learner-0_s": 8.0, "cpu/driver_s": 1.5, "cpu/data_s": None},
    {"step": 2, "cpu/learner-0_s": 3.5, "cpu/driver_s": 0.5, "cpu/data_s": 0.25},
]


def by_row(spans: Sequence[Span], inside: Sequence[Span] = ()) -> dict[tuple[str, str, int], list[Any]]:
    """What a viewer shows: by process, thread's name and its number, the spans."""
    events = trace(spans, inside)["traceEvents"]
    roles = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    names = {(event["pid"], event["tid"]): event["args"]["name"] for event in events if event["name"] == "thread_name"}
    shown: dict[tuple[str, str, int], list[Any]] = {}
    for event in (event for event in events if event["ph"] == "X"):
        key = roles[event["pid"]], names[event["pid"], event["tid"]], event["tid"]
        shown.setdefault(key, []).append((event["name"], event["ts"], event["dur"]))
    return shown


def test_each_role_is_a_process_and_the_actor_s_own_time_is_below_the_driver_s() -> None:
    shown = by_row(SEEN, INSIDE)
    assert shown["learner-0", "seen by the driver", 0] == [("step", 14_000_000, 5_000_000)]
    assert shown["learner-0", "works", 1][0] == ("step", 14_500_000, 4_000_000)
    assert [name for name, *_ in shown["driver", "steps", 0]] == ["step 0", "step 1", "step 2"]
    assert [name for name, *_ in shown["driver", "stages", 1]] == ["rollout", "learn"]


def test_spans_that_overlap_have_rows_of_their_own() -> None:
    """Stages and waits run side by side, and a viewer hides what overlaps without lying within."""
    shown = by_row([Span("driver", name, *times) for name, times in (("a", (0, 5)), ("b", (3, 8)), ("c", (5, 6)))])
    assert [[name for name, *_ in spans] for spans in shown.values()] == [["a", "c"], ["b"]]


def test_a_trace_of_nothing_is_empty() -> None:
    assert by_row([]) == {}


def test_the_table_has_seconds_by_role_and_by_step() -> None:
    roles, steps = (block.splitlines() for block in table(SEEN, INSIDE, ROWS).split("\n\n"))
    assert [line.split() for line in roles] == [
        ["role", "busy", "s", "CPU", "s", "in"],
        ["data", "-", "0.25"],
        ["driver", "-", "2.00"],
        ["learner-0", "6.50", "11.50", "step", "6.00,", "snapshot", "0.50"],
        ["rollout-0", "7.00", "0.00", "sample", "7.00,", "render", "0.40"],
    ]
    assert [line.split()[-2:] for line in steps[1:]] == [
        ["3.50", "4.00"],
        ["3.00", "2.00"],
        ["2.00", "1.00"],
        ["8.00", "6.00"],
    ]


@pytest.mark.parametrize("seen", [[], SEEN[:1]])
def test_a_run_without_a_finished_step_has_no_table(seen: list[Span]) -> None:
    assert table(seen, INSIDE, ROWS) == "no step was finished: there is no profile"
