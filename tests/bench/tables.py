"""The tables of a study, as Markdown: accuracy with intervals, and what it cost."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from effrl.report.plots import compact
from effrl.report.progress import duration
from tests.bench.grid import Study
from tests.bench.results import Grid, Result
from tests.bench.savings import SPENT, savings_rows
from tests.bench.statistics import (
    Estimate,
    iqm_interval,
    mean,
    paired_difference,
    probability_of_improvement,
    share_of_gain,
)

_COSTS = {
    "labels": "labels",
    "rollouts": "rollouts",
    "tokens": "generated tokens",
    "scoring_tokens": "scoring tokens",
    "learner_tokens": "learner tokens",
    "wall_s": "wall time",
    "eval_tokens": "evaluation tokens, apart",
}
"""Fields of :class:`tests.bench.results.Costs` to the heads of their columns."""
_NOTHING = "-"


def family_table(study: Study, arms: Mapping[str, Sequence[Result]]) -> str:
    """A row per arm: seeds, base, final, difference to the baseline, and mean costs of a run."""
    share = [] if study.ceiling is None else [f"share of {study.ceiling}'s gain"]
    head = ["arm", "n", "base", "final", f"difference to {study.baseline}", *share, *_COSTS.values()]
    return _markdown(head, [_family_row(study, arm, arms) for arm in study.arms])


def step_table(study: Study, arms: Mapping[str, Sequence[Result]], step: int) -> str:
    """A row per arm as it was after an earlier step: accuracy, and what it had cost by then."""
    return family_table(study, {arm: [result.until(step) for result in results] for arm, results in arms.items()})


def overall_table(study: Study, grid: Grid) -> str:
    """A row per arm over all families; an arm that lacks a family is not comparable and gets no numbers."""
    head = ["arm", "runs", "IQM", f"difference to {study.baseline}", f"P(better than {study.baseline})"]
    return _markdown(head, [_overall_row(study, arm, grid) for arm in study.arms])


def savings_table(study: Study, share: float, arms: Mapping[str, Sequence[Result]]) -> str:
    """A row per arm: shares of what the baseline needs for most of its gain."""
    return _markdown(["arm", *SPENT], savings_rows(study, share, arms))


def estimate(found: Estimate | None, signed: bool = False) -> str:
    """A value with its interval: ``+0.120 [+0.040, +0.200]``."""
    if found is None:
        return _NOTHING
    form = "+.3f" if signed else ".3f"
    if found.interval is None:
        return f"{found.value:{form}}, no interval"
    low, high = found.interval
    return f"{found.value:{form}} [{low:{form}}, {high:{form}}]"


def _family_row(study: Study, arm: str, arms: Mapping[str, Sequence[Result]]) -> list[str]:
    results = arms[arm]
    if not results:
        return [arm, "0", *[_NOTHING] * (3 + (study.ceiling is not None) + len(_COSTS))]
    base = float(np.mean([result.base(study.metric) for result in results]))
    scores, others = _finals(study, results), _finals(study, arms[study.baseline])
    difference = None if arm == study.baseline else paired_difference(scores, others)
    pairs = f" (n = {difference.n})" if difference is not None and difference.n != len(results) else ""
    costs = [_mean_cost(results, field) for field in _COSTS]
    return [
        arm,
        str(len(results)),
        f"{base:.3f}",
        _plus_minus(mean(list(scores.values()))),
        estimate(difference, signed=True) + pairs,
        *_share(study, arm, arms),
        *costs,
    ]


def _share(study: Study, arm: str, arms: Mapping[str, Sequence[Result]]) -> list[str]:
    """The column of a study that names a ceiling."""
    if study.ceiling is None:
        return []
    if arm in (study.baseline, study.ceiling):
        return [_NOTHING]
    finals = [_finals(study, arms[name]) for name in (arm, study.baseline, study.ceiling)]
    return [estimate(share_of_gain(*finals))]


def _overall_row(study: Study, arm: str, grid: Grid) -> list[str]:
    scores = [_finals(study, arms[arm]) for arms in grid.values()]
    others = [_finals(study, arms[study.baseline]) for arms in grid.values()]
    runs = str(sum(map(len, scores)))
    if not all(scores):
        return [arm, runs, *[_NOTHING] * 3]
    quartile = estimate(iqm_interval([list(values.values()) for values in scores]))
    if arm == study.baseline or not all(others):
        return [arm, runs, quartile, _NOTHING, _NOTHING]
    improvement = probability_of_improvement(
        [(list(values.values()), list(base.values())) for values, base in zip(scores, others, strict=True)]
    )
    difference = paired_difference(_over_families(scores), _over_families(others))
    # The runs of the row are not its pairs: a seed is one observation, whatever the number of families.
    seeds = "" if difference is None else f" (n = {difference.n})"
    return [arm, runs, quartile, estimate(difference, signed=True) + seeds, f"{improvement:.2f}"]


def _finals(study: Study, results: Sequence[Result]) -> dict[int, float]:
    return {result.seed: result.final(study.metric) for result in results}


def _over_families(scores: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """The mean over the families for each seed that finished in all of them: one observation per seed."""
    common = set(scores[0]).intersection(*scores)
    return {seed: float(np.mean([values[seed] for values in scores])) for seed in sorted(common)}


def _plus_minus(found: Estimate) -> str:
    return (
        f"{found.value:.3f}, no interval" if found.half_width is None else f"{found.value:.3f} ± {found.half_width:.3f}"
    )


def _mean_cost(results: Sequence[Result], field: str) -> str:
    value = float(np.mean([result.costs.model_dump()[field] for result in results]))
    return duration(value) if field == "wall_s" else compact(round(value))


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(_lines(chain([head, rule], rows)))


def _lines(rows: Iterator[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        yield f"| {' | '.join(row)} |"
