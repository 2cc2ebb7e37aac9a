"""What an arm needs to get as far as the baseline got."""

import pytest

from tests.bench.results import Costs, Point
from tests.bench.savings import goal_of, needed

METRIC = "eval/accuracy"


def curve(*values: float) -> list[Point]:
    """Evaluations after 0, 100, 200, … rollouts."""
    return [Point(step=n, metrics={METRIC: value}, costs=Costs(rollouts=100 * n)) for n, value in enumerate(values)]


def rollouts(point: Point) -> float:
    return point.costs.rollouts


def test_the_goal_is_most_of_the_largest_gain() -> None:
    assert goal_of(curve(0.2, 0.7, 0.6), METRIC, 0.9) == pytest.approx(0.65)
    assert goal_of(curve(0.2, 0.1), METRIC, 0.9) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("values", "goal", "expected"),
    [
        ((0.2, 0.4, 0.8), 0.6, 150.0),
        ((0.2, 0.4, 0.3, 0.8), 0.6, 250.0),  # a loss is not taken for a start from below
        ((0.2, 0.4), 0.2, 0.0),
        ((0.2, 0.4), 0.4, 100.0),
        ((0.2, 0.4), 0.5, None),
    ],
)
def test_a_curve_reaches_a_goal_between_two_evaluations(
    values: tuple[float, ...], goal: float, expected: float | None
) -> None:
    found = needed(curve(*values), METRIC, goal, rollouts)
    assert found == (None if expected is None else pytest.approx(expected))
