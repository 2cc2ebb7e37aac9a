"""What an arm needs to get as far as the baseline got, as a share of what the baseline needs for it.

The goal is a share of the baseline's gain, seed by seed. Curves are made non-decreasing first, or an evaluation that
was lucky could be taken back, and are straight between two evaluations.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from math import exp, log

from tests.bench.grid import Study
from tests.bench.results import Point, Result
from tests.bench.statistics import mean

ROLLOUT_SHARE = 0.7
"""Of a step's time, where a model of half a billion parameters samples long answers; on the bench it is far less."""

Spent = Callable[[Point, Point], float]
"""What was spent at a point of a run; the second one is the end of the baseline's run with the same seed."""


def modelled(point: Point, baseline: Point) -> float:
    """Time, in units of the baseline's run, where ``ROLLOUT_SHARE`` of that goes into sampling tokens."""
    sampled = point.costs.tokens / baseline.costs.tokens
    learned = point.costs.learner_tokens / baseline.costs.learner_tokens
    return ROLLOUT_SHARE * sampled + (1 - ROLLOUT_SHARE) * learned


SPENT: dict[str, Spent] = {
    "labels": lambda point, _: point.costs.labels,
    "rollouts": lambda point, _: point.costs.rollouts,
    "generated tokens": lambda point, _: point.costs.tokens,
    "CPU seconds": lambda point, _: sum(point.costs.cpu_s.values()),
    f"modelled time, {ROLLOUT_SHARE:.0%} rollouts": modelled,
}


def savings_rows(study: Study, share: float, arms: Mapping[str, Sequence[Result]]) -> list[list[str]]:
    """A row per arm: what it needs, as shares of the baseline's: mean, 95 % interval, and how many seeds get there."""
    baseline = {result.seed: result for result in arms[study.baseline]}
    return [
        [arm, *(_told(_shares(study, share, baseline, arms[arm], spent)) for spent in SPENT.values())]
        for arm in study.arms
    ]


def _shares(
    study: Study, share: float, baseline: Mapping[int, Result], results: Sequence[Result], spent: Spent
) -> list[float | None]:
    """Seed by seed; None where a run falls short of the goal."""
    shares = []
    for result in (result for result in results if result.seed in baseline):
        curve = baseline[result.seed].curve
        goal = goal_of(curve, study.metric, share)

        def cost(point: Point, end: Point = curve[-1]) -> float:
            return spent(point, end)

        of_baseline = needed(curve, study.metric, goal, cost)
        own = needed(result.curve, study.metric, goal, cost)
        shares.append(None if own is None or not of_baseline else own / of_baseline)
    return shares


def _told(shares: Sequence[float | None]) -> str:
    """``0.62 [0.45, 0.85], 7 of 8``: the geometric mean of those that got there, by Student's t on their logarithms."""
    reached = [log(share) for share in shares if share]
    if not reached:
        return f"never ({len(shares)})" if shares else "-"
    found = mean(reached)
    text = f"{exp(found.value):.2f}"
    if found.half_width:
        text += f" [{exp(found.value - found.half_width):.2f}, {exp(found.value + found.half_width):.2f}]"
    return text if len(reached) == len(shares) else f"{text}, {len(reached)} of {len(shares)}"


def goal_of(curve: Sequence[Point], metric: str, share: float) -> float:
    """The base's value, plus a share of the largest gain."""
    values = [point.metrics[metric] or 0.0 for point in curve]
    return values[0] + share * (max(values) - values[0])


def needed(curve: Sequence[Point], metric: str, goal: float, spent: Callable[[Point], float]) -> float | None:
    """What was spent when a curve first reached a goal; None where it never does."""
    values = list(accumulate((point.metrics[metric] or 0.0 for point in curve), max))
    reached = next((index for index, value in enumerate(values) if value >= goal), None)
    if reached is None or reached == 0:
        return None if reached is None else spent(curve[0])
    before, after = curve[reached - 1], curve[reached]
    part = (goal - values[reached - 1]) / (values[reached] - values[reached - 1])
    return spent(before) + part * (spent(after) - spent(before))
