"""What an arm needs to get as far as the baseline got, as a share of what the baseline needs for it.

The goal is 90 % of the baseline's gain, seed by seed. Curves are made non-decreasing first, or an evaluation that was
lucky could be taken back, and are straight between two evaluations.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

from tests.bench.grid import Study
from tests.bench.results import Point, Result

SHARE = 0.9
SPENT: dict[str, Callable[[Point], float]] = {
    "rollouts": lambda point: point.costs.rollouts,
    "generated tokens": lambda point: point.costs.tokens,
    "wall time": lambda point: point.costs.wall_s,
}


def savings_rows(study: Study, arms: Mapping[str, Sequence[Result]]) -> list[list[str]]:
    """A row per arm: what it needs, as shares of the baseline's, seed by seed; ``never`` where it falls short."""
    baseline = {result.seed: result for result in arms[study.baseline]}
    return [
        [arm, *(", ".join(_shares(study, baseline, arms[arm], spent)) or "-" for spent in SPENT.values())]
        for arm in study.arms
    ]


def _shares(
    study: Study, baseline: Mapping[int, Result], results: Sequence[Result], spent: Callable[[Point], float]
) -> list[str]:
    shares = []
    for result in (result for result in results if result.seed in baseline):
        goal = goal_of(baseline[result.seed].curve, study.metric)
        of_baseline = needed(baseline[result.seed].curve, study.metric, goal, spent)
        own = needed(result.curve, study.metric, goal, spent)
        shares.append("never" if own is None or not of_baseline else f"{own / of_baseline:.2f}")
    return shares


def goal_of(curve: Sequence[Point], metric: str) -> float:
    """The base's value, plus most of the largest gain."""
    values = [point.metrics[metric] or 0.0 for point in curve]
    return values[0] + SHARE * (max(values) - values[0])


def needed(curve: Sequence[Point], metric: str, goal: float, spent: Callable[[Point], float]) -> float | None:
    """What was spent when a curve first reached a goal; None where it never does."""
    values = list(accumulate((point.metrics[metric] or 0.0 for point in curve), max))
    reached = next((index for index, value in enumerate(values) if value >= goal), None)
    if reached is None or reached == 0:
        return None if reached is None else spent(curve[0])
    before, after = curve[reached - 1], curve[reached]
    part = (goal - values[reached - 1]) / (values[reached] - values[reached - 1])
    return spent(before) + part * (spent(after) - spent(before))
