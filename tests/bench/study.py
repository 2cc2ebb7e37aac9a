"""Fair, repeatable comparisons: ``python -m tests.bench.study run tests/bench/studies/controls.yaml``.

- :mod:`tests.bench.grid`: what a study is; :mod:`tests.bench.results`: what is kept of a run
- :mod:`tests.bench.runner`: runs the cells; :mod:`tests.bench.statistics`: what few seeds tell
- :mod:`tests.bench.report`, with :mod:`tests.bench.tables` and :mod:`tests.bench.figures`: the page that shows it
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from effrl.errors import RunError, UserError
from tests.bench.grid import Study, read_study
from tests.bench.results import CellStore
from tests.bench.runner import Planned, Runner, plan, run_directories, time_left, unfinished

RESULTS = Path("tests/bench/results")

app = typer.Typer(
    help="Compare arms over seeds and families of tasks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

StudyFile = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="A study, such as those in tests/bench/studies.")]
ResultsDir = Annotated[Path, typer.Option("--results", help="Folder of all results; the study gets one in it.")]


@app.command()
def run(
    file: StudyFile,
    results: ResultsDir = RESULTS,
    only_family: Annotated[str | None, typer.Option(help="Run one family.")] = None,
    only_arm: Annotated[str | None, typer.Option(help="Run one arm.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Run some of the study's seeds: 1,2.")] = None,
    keep_runs: Annotated[Path | None, typer.Option(help="Keep every run directory in this folder.")] = None,
) -> None:
    """Run the cells that are not finished; exit code 1 where one failed."""
    study = read_study(file)
    store = _store(study, results)
    planned = plan(study, study.select(only_family, only_arm, _numbers(seeds)), store)
    todo = unfinished(planned, store)
    known = [entry.result.wall_s for entry in planned if entry.result is not None]
    left = time_left(len(todo), known)
    console.print(f"{study.name}: {len(planned)} cells, {len(planned) - len(todo)} finished, {len(todo)} to run{left}")
    if todo:
        study.check_needs()
    if todo and not _run(study, store, todo, known, keep_runs):
        raise typer.Exit(1)


@app.command()
def report(file: StudyFile, results: ResultsDir = RESULTS) -> None:
    """Write the tables and figures of what is finished."""
    from tests.bench.report import write_report

    study = read_study(file)
    planned = plan(study, study.cells(), _store(study, results))
    console.print(str(write_report(study, planned, _shown(file), results / study.name)))


@app.command("list")
def list_cells(file: StudyFile, results: ResultsDir = RESULTS) -> None:
    """List every cell: done, missing, or changed, where it was run with another config than today's."""
    study = read_study(file)
    for entry in plan(study, study.cells(), _store(study, results)):
        console.print(f"{entry.state:8} {entry.cell.name}")


def _run(study: Study, store: CellStore, todo: list[Planned], known_s: list[float], keep: Path | None) -> bool:
    """Whether every cell was finished."""
    from tests.bench.engines import Engines  # loads vLLM, Ray and DeepSpeed: seconds that only a run has to wait

    try:
        with run_directories(keep and keep / study.name) as directory, Engines() as execute:
            runner = Runner(study.metric, store, execute, directory, keep is not None, console.print)
            failed = runner.run(todo, known_s)
    except KeyboardInterrupt:
        errors.print("stopped; what is finished is kept, and the same command goes on from there")
        raise typer.Exit(130) from None
    if failed:
        console.print(f"{len(failed)} of {len(todo)} cells failed; the same command tries them again")
    return not failed


def _store(study: Study, results: Path) -> CellStore:
    return CellStore(results / study.name / "cells")


def _numbers(seeds: str | None) -> list[int] | None:
    try:
        return None if seeds is None else [int(seed) for seed in seeds.split(",")]
    except ValueError as error:
        raise UserError(f"--seeds {seeds}: write numbers with commas between them, such as 1,2") from error


def _shown(file: Path) -> str:
    """The study's path as somebody else can type it, from the root of the repository."""
    path, root = file.resolve(), Path.cwd()
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name


def main() -> None:
    """Run a command; exit code 2 for the user's mistake, 1 for failed cells, 130 after Ctrl-C."""
    try:
        app()
    except (UserError, RunError) as error:
        errors.print(f"study: {error}", style="red")
        sys.exit(2 if isinstance(error, UserError) else 1)


if __name__ == "__main__":
    main()
