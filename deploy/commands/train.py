"""Starting, resuming and ending a run, as the command line does it."""

import asyncio
import os
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

import effrl
from deploy.commands.notes import tell_notes
from deploy.commands.profile import profiled
from effrl.config import load
from effrl.config.schema import Config
from effrl.errors import RunError, UserError
from effrl.preflight.check import Preflight, check
from effrl.preflight.places import check_places
from effrl.report.page import write_report
from effrl.report.progress import Progress, duration
from effrl.run import metrics
from effrl.run.checkpoint import MODEL, Checkpoints
from effrl.run.diary import Diary
from effrl.run.directory import RunDirectory, claim_existing, claim_new, free_within
from effrl.run.resume import FinishedError, StartPoint, check_changes, is_finished, resume_point
from effrl.run.stored import begin_uploads, bring, note_on_labels, store_the_rest

RAY_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Environment variable that Ray sets for the entrypoint of a job."""
FREE_S = 900.0
"""How long an attempt before may take to let go of a run: it saves, and a network drive keeps locks of the dead."""
LOG_LINES, LINE_WIDTH = 30, 300
"""What is shown of a failed worker's log: its last lines, each cut to this width (vLLM dumps whole batches)."""


def train(recipe_or_file: str, overrides: Sequence[str], console: Console, profile: bool = False) -> RunDirectory:
    """Start a new run and see it through.

    Raises:
        UserError: something is wrong with the config, the data or the machine; nothing was started.
        RunError: the run failed; the terminal says where, and how to go on.
    """
    config = load.load(recipe_or_file, overrides)
    return _begin(Path(recipe_or_file).stem, config, _place(recipe_or_file, config), console, profile)


def train_or_resume(recipe_or_file: str, overrides: Sequence[str], console: Console, profile: bool = False) -> None:
    """Go on with the run in its run directory if there is one, and start it otherwise: as often as you like.

    A scheduler that starts a job again until it succeeds so comes to the end of the run.

    Raises:
        UserError: as of :func:`train`; or the run there has settings that a resume cannot change, or is still in use.
        RunError: the run failed, or was stopped before its end.
    """
    config = load.load(recipe_or_file, overrides)
    directory = RunDirectory(_place(recipe_or_file, config))
    if not free_within(directory, FREE_S):
        raise UserError(f"{directory.path} is still in use after {FREE_S:g} s: stop what uses it, or wait for it")
    tell = partial(console.print, highlight=False, soft_wrap=True, markup=False)
    bring(directory, config, tell)
    try:
        if directory.config.is_file():
            _go_on(directory.path, lambda _: config, console, profile)
        else:
            _begin(Path(recipe_or_file).stem, config, directory.path, console, profile)
    except FinishedError as error:
        tell(str(error))
        store_the_rest(config, directory, tell)
    if not is_finished(directory, config):
        raise RunError(f"{directory.path} was stopped before its end: the same command goes on with it")


def _place(recipe_or_file: str, config: Config) -> Path:
    """The run directory that is wanted.

    Raises:
        UserError: a Ray job would lose it: Ray deletes the folder in which it starts a job.
    """
    path = config.run.dir or Path("runs") / Path(recipe_or_file).stem
    if RAY_JOB in os.environ and not path.is_absolute():
        raise UserError(
            f"this is a Ray job, and what it writes to {path} is lost with it: set run.dir to an absolute path on"
            f" storage that all nodes share, such as run.dir=/mnt/shared/{path}"
        )
    return path


def _begin(name: str, config: Config, path: Path, console: Console, profile: bool) -> RunDirectory:
    found = check(config)
    check_places(config)
    directory, claim = claim_new(path)
    try:
        directory.write_config(load.dump(config))
        console.print(_headline(name, config, found), highlight=False, soft_wrap=True)
        tell_notes((*found.notes, *note_on_labels(config)), console)
        with profiled(directory, profile, console):
            _attempt(config, directory, found, StartPoint(found.model.path), console)
    except UserError:
        if not directory.metrics.exists():  # nothing was run: the next try gets this directory, without a number
            directory.config.unlink()
        raise
    finally:
        claim.release()
    return directory


def resume(path: Path, overrides: Sequence[str], console: Console, profile: bool = False) -> RunDirectory:
    """Go on with a run from its newest checkpoint; raises as :func:`train` does."""
    directory = RunDirectory(path)
    if directory.config.is_file():
        tell = partial(console.print, highlight=False, soft_wrap=True, markup=False)
        bring(directory, load.load(str(directory.config), overrides), tell)
    return _go_on(path, lambda directory: load.load(str(directory.config), overrides), console, profile)


def _go_on(path: Path, wanted: Callable[[RunDirectory], Config], console: Console, profile: bool) -> RunDirectory:
    directory, claim = claim_existing(path)
    try:
        before, config = load.load(str(directory.config)), wanted(directory)
        check_changes(directory, before, config)
        found = check(config)
        check_places(config)
        start = resume_point(directory, config, found.model.path)
        directory.write_config(load.dump(config))
        console.print(_headline(path.name, config, found), highlight=False, soft_wrap=True)
        tell_notes(found.notes, console)
        console.print(_resumed(start), highlight=False, soft_wrap=True)
        try:
            with profiled(directory, profile, console):
                _attempt(config, directory, found, start, console)
        except UserError:
            rows = metrics.read(directory.metrics)
            if (
                not rows or rows[-1]["step"] <= start.step
            ):  # nothing was run: the next resume starts as this one found it
                directory.write_config(load.dump(before))
            raise
    finally:
        claim.release()
    return directory


def _attempt(config: Config, directory: RunDirectory, found: Preflight, start: StartPoint, console: Console) -> None:
    """Run the driver; whatever happens, the terminal says how it ended and where the results are."""
    from actors.cluster import Cluster
    from actors.driver.attempts import attempts
    from actors.session import ray_session

    began = time.monotonic()
    finished = False
    diary = Diary(directory.log("driver"))
    with Progress(None if config.stages else config.run.steps, console, keep=diary.add) as progress:
        uploads = begin_uploads(config, directory, progress.note)
        progress.resume(metrics.read(directory.metrics))
        try:
            with ray_session(), Cluster(config, directory.path.resolve()) as cluster:
                keep = partial(log, directory)
                finished = attempts(config, directory, found, start, progress, cluster, keep, uploads)
        except asyncio.CancelledError as error:
            raise KeyboardInterrupt from error
        except UserError:
            raise
        except Exception as error:  # whatever it was: the terminal gets one block, the log the traceback
            log(directory, error)
            uploads.abandon()
            lines = (*failure(directory, error), f"go on: effrl resume {directory.path}")
            raise RunError("\n".join(lines)) from error
    write_report([directory.path], directory.report)
    uploads.close()
    console.print(_summary(config, directory, time.monotonic() - began, finished), highlight=False, soft_wrap=True)


def _headline(name: str, config: Config, found: Preflight) -> str:
    rollout, cluster = config.rollout, config.cluster
    device = "GPU" if cluster.rollout.gpus or cluster.learner.gpus else "CPU"
    return " · ".join(
        (
            f"effrl {effrl.__version__}",
            name,
            f"{config.model.path}, {_count(found.model.parameters)} parameters",
            config.algorithm,
            f"{_prompts(config)} x {rollout.per_prompt} rollouts",
            f"pool {found.train.rows:,} prompts, {found.train.labelled:,} with a label",
            f"staleness {config.rollout.max_staleness}",
            device,
        )
    )


def _prompts(config: Config) -> str:
    """``32 prompts``, or with replay ``16 prompts and 16 replayed``."""
    prompts, fresh = config.rollout.prompts, config.fresh_at(config.run.steps)
    return f"{prompts} prompts" if fresh == prompts else f"{fresh} prompts and {prompts - fresh} replayed"


def _resumed(start: StartPoint) -> str:
    taken_back = f", {start.rolled_back} groups after it taken back" if start.rolled_back else ""
    return f"resuming after step {start.step} (policy version {start.version}){taken_back}; labels bought stay owned"


def _count(number: int) -> str:
    return f"{number / 1e9:.1f}B" if number >= 1e9 else f"{number / 1e6:.1f}M"


def _summary(config: Config, directory: RunDirectory, seconds: float, finished: bool) -> str:
    rows = metrics.read(directory.metrics)
    step = rows[-1]["step"]
    accuracies = [row["eval/accuracy"] for row in rows if row.get("eval/accuracy") is not None]
    learned = f"avg@{config.eval.per_prompt} {accuracies[0]:.2f} → {accuracies[-1]:.2f}" if len(accuracies) > 1 else ""
    looked = metrics.total(rows, metrics.EXTRA_ROLLOUTS)
    facts = (
        learned,
        f"{metrics.total(rows, ['rollout/count']):,} rollouts",
        f"{looked:,} more to choose or label prompts" if looked else "",
        f"{rows[-1].get('label/bought_total', 0):,} labels",
        f"{metrics.total(rows, metrics.TOKENS) / 1e6:.1f}M tokens",
        _proof([row["sync/verified"] for row in rows if "sync/verified" in row]),
    )
    of = "" if config.stages else f" of {config.run.steps}"
    ended = "done" if finished else f"stopped after step {step}{of}"
    told = " · ".join(fact for fact in facts if fact)
    lines = [f"{ended} in {duration(seconds)}: {told}", f"report  {directory.report}"]
    if step > 0:
        model = directory.checkpoints / f"step_{step}" / MODEL
        lines.append(f"model   {model}     look: effrl show {directory.path} {step}")
    if best := Checkpoints(directory.checkpoints, config.run.keep).best():
        lines.append(
            f"best    step {best[0]}, {best[1]:.2f} on {config.data.dev_set}     try: effrl eval {directory.path}"
        )
    if not finished:
        lines.append(f"go on   effrl resume {directory.path}")
    return "\n".join(lines)


def _proof(verified: list[bool | None]) -> str:
    if not verified:
        return "nothing was learned, nothing published"
    doubtful = verified.count(None)
    return f"{doubtful} of {len(verified)} publishes inconclusive" if doubtful else "every publish verified"


def log(directory: RunDirectory, error: BaseException) -> None:
    """Keep the traceback of a failure."""
    path = directory.log("driver")
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        traceback.print_exception(error, file=file)


def failure(directory: RunDirectory, error: Exception) -> list[str]:
    """What failed, the end of that worker's log, and where there is more."""
    from actors.wait import WorkerError

    lines = [str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}"]
    if isinstance(error, WorkerError):
        path = directory.log(error.role)
        tail = path.read_text(errors="replace").splitlines()[-LOG_LINES:] if path.exists() else []
        lines += [f"last lines of {path}:", *(f"    {line[:LINE_WIDTH]}" for line in tail)]
    return [*lines, f"all details: {directory.log('driver')}"]
