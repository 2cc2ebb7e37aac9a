"""Spans of roles: what they cover together, and what is left of a step as overhead."""

import pytest

from effrl.run.metrics import Stopwatch
from effrl.run.timeline import Span, Timeline, covered


class Now:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def spans(*times: tuple[float, float]) -> list[Span]:
    return [Span("learner-0", "step", *pair) for pair in times]


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        ([], 0.0),
        ([(2.0, 4.0)], 2.0),
        ([(5.0, 6.0), (2.0, 4.0)], 3.0),  # in any order
        ([(2.0, 6.0), (3.0, 4.0), (5.0, 7.0)], 5.0),  # one within another, and one that goes on
        ([(-5.0, 1.0), (9.0, 20.0)], 2.0),  # only what lies in between counts
        ([(-5.0, 20.0)], 10.0),
        ([(-5.0, -1.0), (10.0, 20.0)], 0.0),
    ],
)
def test_spans_cover_their_union_within_the_bounds(times: list[tuple[float, float]], seconds: float) -> None:
    assert covered(spans(*times), 0.0, 10.0) == seconds


def test_overhead_is_what_neither_engine_nor_learner_works() -> None:
    now = Now()
    timeline = Timeline(now)
    for role, name, seconds in (
        ("rollout-0", "rollouts", 3.0),
        ("reward", "scores", 1.0),
        ("learner-1", "step", 4.0),
        ("rollout-0", "the receipt of version 3", 2.0),
    ):
        with timeline.span(role, name):
            now.seconds += seconds
    assert timeline.step(1, 10.0) == pytest.approx(0.3)


@pytest.mark.parametrize(("seconds", "share"), [(6.0, 1 / 3), (2.0, 1.0), (0.0, None)])
def test_only_the_seconds_of_the_step_count(seconds: float, share: float | None) -> None:
    now = Now()
    timeline = Timeline(now)
    with timeline.span("learner-0", "step"):
        now.seconds += 10.0
    now.seconds += 2.0
    assert timeline.step(1, seconds) == (None if share is None else pytest.approx(share))


def test_what_still_runs_counts_in_both_steps() -> None:
    """With staleness, rollouts of the next step run while this one is committed."""
    now, kept = Now(), list[Span]()
    timeline = Timeline(now, kept.extend)
    with timeline.span("rollout-0", "rollouts"):
        now.seconds += 4.0
        assert timeline.step(1, 8.0) == 0.5
        now.seconds += 3.0
    now.seconds += 1.0
    assert timeline.step(2, 4.0) == 0.25
    now.seconds += 4.0
    assert timeline.step(3, 4.125) == 1.0, "a span is dropped with its step"
    assert kept == [
        Span("driver", "step 1", 96.0, 104.0),
        Span("rollout-0", "rollouts", 100.0, 107.0),
        Span("driver", "step 2", 104.0, 108.0),
        Span("driver", "step 3", 108.0, 112.0),  # steps do not overlap
    ]


def test_a_span_that_raises_is_recorded() -> None:
    kept = list[Span]()
    timeline = Timeline(Now(), kept.extend)
    with pytest.raises(ValueError, match="boom"), timeline.span("data", "selection"):
        raise ValueError("boom")
    timeline.flush()
    assert [span.name for span in kept] == ["selection"]


def test_stages_are_spans_of_the_driver() -> None:
    now, kept = Now(), list[Span]()
    timeline = Timeline(now, kept.extend)
    with Stopwatch(timeline=timeline).stage("learn"):
        now.seconds += 2.0
    timeline.flush()
    assert kept == [Span("driver", "learn", 100.0, 102.0)]
