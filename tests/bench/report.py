"""The report of a study: ``README.md`` with tables, figures, and what they can and cannot show."""

from collections.abc import Sequence
from pathlib import Path

from effrl.errors import UserError
from tests.bench.figures import draw_curve, draw_family
from tests.bench.grid import Study
from tests.bench.results import Result, by_arm
from tests.bench.runner import Planned
from tests.bench.statistics import RESAMPLES, resolvable
from tests.bench.tables import family_table, overall_table, savings_table, step_table

SAVINGS = (
    "What each arm needs for {share:.0%} of what `{baseline}` gains, as a share of what that one needs, seed by seed:"
)
_FEW = {2: "Two", 3: "Three", 4: "Four"}


def write_report(study: Study, planned: Sequence[Planned], study_file: str, directory: Path) -> Path:
    """Write the report and its figures into ``directory``; return its path.

    Args:
        study: what was compared.
        planned: every cell of it, finished or not.
        study_file: path of the study as the commands in the report name it.
        directory: the study's results.

    Raises:
        UserError: no cell is finished yet.
    """
    results = [entry.result for entry in planned if entry.result is not None]
    if not results:
        raise UserError(f"no cell of {study.name} is finished: python -m tests.bench.study run {study_file}")
    grid = by_arm(study, results)
    directory.mkdir(parents=True, exist_ok=True)
    parts = [_head(study, planned, results, study_file), _arms(study)]
    for family, arms in grid.items():
        parts += [f"## {family}", _listed(study.families[family])]
        finished = {arm: runs for arm, runs in arms.items() if runs}
        if finished:
            draw_family(study, family, finished, directory / f"{family}.png")
            parts += [f"![{study.metric} of {family} against steps and costs]({family}.png)"]
            if study.curve and study.curve.arms & finished.keys():
                draw_curve(study, study.curve, family, finished, directory / f"{family}-curve.png")
                parts += [f"![{study.metric} of {family} over {study.curve.over}]({family}-curve.png)"]
        for step in study.also_after:
            parts += [f"After {step} steps:", step_table(study, arms, step)]
        parts += ["After the last step:"] * bool(study.also_after) + [family_table(study, arms)]
        if study.savings is not None:
            told = SAVINGS.format(share=study.savings, baseline=study.baseline)
            parts += [told, savings_table(study, study.savings, arms)]
    parts += ["## All families", overall_table(study, grid), "## How to read this", _reading(study, results)]
    path = directory / "README.md"
    path.write_text("\n\n".join(part for part in parts if part) + "\n")
    return path


def _head(study: Study, planned: Sequence[Planned], results: Sequence[Result], study_file: str) -> str:
    changed = [entry.cell.name for entry in planned if entry.state == "changed"]
    missing = [entry.cell.name for entry in planned if entry.state == "missing"]
    facts = [
        f"Recipe `{study.recipe}`" + (f" with {_code(study.overrides)}" if study.overrides else "") + ".",
        f"Metric: `{study.metric}` after the last step; baseline: `{study.baseline}`.",
        f"Hardware: {'; '.join(sorted({result.hardware for result in results}))}.",
        f"effrl {', '.join(sorted({result.version for result in results}))}.",
        f"Cells: {len(results)} of {len(planned)} finished." + (f" Missing: {_code(missing)}." if missing else ""),
    ]
    if changed:
        facts.append(f"**Run with another config than the study has now: {_code(changed)}.**")
    command = "python -m tests.bench.study"
    made = f"```bash\n{command} run {study_file}\n{command} report {study_file}   # writes this page\n```"
    return "\n\n".join((f"# {study.name}", study.purpose.strip(), made, "\n".join(f"- {fact}" for fact in facts)))


def _arms(study: Study) -> str:
    arms = [f"- `{arm}`: {_code(overrides) or 'no overrides'}" for arm, overrides in study.arms.items()]
    return "\n".join(("Arms:", "", *arms))


def _listed(overrides: Sequence[str]) -> str:
    return f"Overrides: {_code(overrides)}." if overrides else ""


def _code(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _reading(study: Study, results: Sequence[Result]) -> str:
    """What the numbers are, and what so few seeds can tell."""
    notes = [
        "final: mean over seeds ± half the width of its 95 % t interval. A row's costs are means over its runs;"
        " wall time is that of training steps, without evaluation and start-up.",
        "difference: per seed, arm minus baseline (same initial weights, data order and evaluation seeds), with its"
        " 95 % t interval. Over all families, each seed counts once, with its mean over the families.",
        f"IQM: interquartile mean of the runs of all families; 95 % percentile bootstrap within families, {RESAMPLES:,}"
        " resamples. With few seeds it is too narrow: trust the t interval.",
        "P(better): chance that a run of the arm beats one of the baseline, ties half, mean over the families.",
        "An interval that holds 0 says that no difference was found, not that there is none. Intervals are not"
        " corrected for the number of arms.",
    ]
    return "\n".join(f"- {note}" for note in (_seeds(study, results), *notes))


def _of_ceiling(study: Study) -> list[str]:
    if study.ceiling is None:
        return []
    gain = f"what an arm gains over `{study.baseline}`, divided by what `{study.ceiling}` does"
    return [f"share of a gain: {gain}, with the bootstrap's 95 % interval over seeds."]


def _seeds(study: Study, results: Sequence[Result]) -> str:
    runs = [len(group) for arms in by_arm(study, results).values() for group in arms.values() if group]
    fewest, most = min(runs), max(runs)
    count = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    told = [f"**Seeds per arm and family: {count}.**"]
    if fewest in _FEW:
        told.append(f"{_FEW[fewest]} seeds show a direction, not a proof.")
    effect = resolvable(fewest)
    if effect is None:
        told.append("One seed has no interval: it shows a direction at best.")
    else:
        told.append(
            f"With {fewest} pairs, a t test at 5 % finds an effect of {effect:.1f} standard deviations of the paired"
            " difference in 8 of 10 studies, and smaller ones less often."
        )
    return " ".join(told)
