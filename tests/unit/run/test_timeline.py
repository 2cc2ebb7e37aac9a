"""Spans of roles: what they cover together, and what is left of a step as overhead."""

import pytest

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
    assert timeline.overhead(10.0) == pytest.approx(0.3)
    assert timeline.overhead(6.0) == pytest.approx(1 / 3), "only the last seconds count"
    assert timeline.overhead(0.0) is None


def test_what_still_runs_counts_in_both_steps() -> None:
    """With staleness, rollouts of the next step run while this one is committed."""
    now = Now()
    timeline = Timeline(now)
    with timeline.span("rollout-0", "rollouts"):
        now.seconds += 4.0
        assert timeline.overhead(8.0) == 0.5 and timeline.take() == []
        now.seconds += 3.0
    now.seconds += 1.0
    assert timeline.overhead(4.0) == 0.25
    assert timeline.take() == [Span("rollout-0", "rollouts", 100.0, 107.0)]
    assert timeline.take() == [] and timeline.overhead(4.0) == 1.0


def test_a_span_that_raises_is_recorded() -> None:
    timeline = Timeline(Now())
    with pytest.raises(ValueError, match="boom"), timeline.span("data", "selection"):
        raise ValueError("boom")
    assert [span.name for span in timeline.take()] == ["selection"]
