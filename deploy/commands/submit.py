"""A run as a Ray job, asked for as often as you like: it is started, gone on with, or attached to."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import typer
import yaml
from rich.console import Console

from deploy.jobs.server import GRACE, RUN, SETTINGS, JobServer, connect, name_of
from deploy.jobs.upload import Upload, has_own_code, local_files, survey
from effrl.config import load
from effrl.config.schema import Config
from effrl.errors import RunError, UserError

STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
"""Environment variable of a job: seconds between Ray's SIGTERM and its SIGKILL. Its default of 3 is too short."""


@dataclass(frozen=True, slots=True)
class JobWish:
    """How a job is to be run."""

    working_dir: Path | None
    exclude: tuple[str, ...]
    runtime_env: Path | None
    grace: int
    cpus: float
    memory: float
    resources: tuple[str, ...]
    follow: bool


@dataclass(frozen=True, slots=True)
class JobWork:
    """What a job is to do."""

    run: Path
    entrypoint: str
    settings: str
    """Digest of all that decides what comes out."""
    upload: Upload | None
    goes_on: bool = False
    """Whether a job that has succeeded is no reason to do nothing."""


def submit(recipe: str, overrides: Sequence[str], address: str, wish: JobWish, console: Console) -> None:
    """Have a job at the training that a recipe or file asks for.

    Raises:
        UserError: the config, the address or the token is wrong, or the job would lose its results or lack its files.
        RunError: the job failed, was stopped, or cannot be seen any more.
    """
    work = training(recipe, overrides, wish)
    start_or_attach(connect(address), work, wish, console)


def resume(run: Path, overrides: Sequence[str], address: str, wish: JobWish, console: Console) -> None:
    """Have a job at ``effrl resume`` of a run directory of the cluster; raises as :func:`submit` does."""
    if not run.is_absolute():
        raise UserError(
            f"{run} is a path of this machine: give the run directory from the root, as the cluster sees it"
        )
    upload = survey(wish.working_dir, wish.exclude) if wish.working_dir else None
    if upload:
        upload.check({})
    entrypoint = shlex.join(["python", "-m", "effrl", "resume", str(run), *overrides])
    work = JobWork(run, entrypoint, digest(entrypoint), upload, goes_on=True)
    start_or_attach(connect(address), work, wish, console)


def training(recipe: str, overrides: Sequence[str], wish: JobWish) -> JobWork:
    """The work of training by a recipe or file, with everything checked that can be checked here.

    Raises:
        UserError: the config is wrong, or the job would lose its results or lack its files.
    """
    config = load.load(recipe, overrides)
    run = config.run.dir
    if run is None or not run.is_absolute():
        raise UserError(
            f"a Ray job loses what it writes to {run or 'runs/'}, a folder that Ray deletes with it: set run.dir to an"
            f" absolute path on storage that all nodes share, such as run.dir=/mnt/shared/runs/{Path(recipe).stem}"
        )
    upload = shipped(recipe, config, wish)
    where = os.path.relpath(recipe, upload.folder) if upload and recipe not in load.recipes() else recipe
    told = ["python", "-m", "effrl", "train", where, *overrides, "--or-resume"]
    return JobWork(run, shlex.join(told), digest(load.dump(config)), upload)


def shipped(recipe: str, config: Config, wish: JobWish) -> Upload | None:
    """The folder that goes along, if the run needs one: of a recipe alone nothing does.

    Raises:
        UserError: it is too large, or something that the config names is not in it.
    """
    is_file, folder = recipe not in load.recipes(), wish.working_dir or Path()
    named = {**local_files(config, Path()), **local_files(config, folder)}
    if wish.working_dir is None and not (is_file or named or has_own_code(config)):
        return None
    upload = survey(folder, wish.exclude)
    own = {"the command": Path(os.path.relpath(recipe, upload.folder))} if is_file else {}
    upload.check({**named, **own})
    return upload


def digest(*told: str) -> str:
    return blake2b("\n".join(told).encode(), digest_size=8).hexdigest()


def start_or_attach(server: JobServer, work: JobWork, wish: JobWish, console: Console) -> None:
    """Have exactly one job at the work, and see it through if that is wished.

    Raises:
        UserError: another job is at the same run directory.
        RunError: the job failed, was stopped, or cannot be seen any more.
    """
    job = server.newest(str(work.run))
    if job is None or job.status in ("FAILED", "STOPPED") or (job.status == "SUCCEEDED" and _has_more(job, work)):
        job_id = _start(server, work, wish, following(work.run, job), console)
    elif job.status == "SUCCEEDED":
        _say(console, f"{job.submission_id} has succeeded: the run is in {work.run}; nothing is started")
        return
    elif job.metadata[SETTINGS] != work.settings:
        raise UserError(
            f"{job.submission_id} is at {work.run} with other settings: stop it (effrl job stop {work.run}), or choose"
            " another run.dir"
        )
    else:
        job_id = job.submission_id
        _say(console, f"{job_id} is there already, {job.status.lower()}")
    if wish.follow:
        see_through(server, job_id, work.run, console)
    else:
        _say(console, f"look  effrl job logs {work.run} --address {server.address}")


def following(run: Path, job: Any | None) -> str:
    """Id of the job after this one of the run: Ray takes an id once."""
    if job is None:
        return name_of(run)
    name, _, number = job.submission_id.partition(".")
    return f"{name}.{int(number or 1) + 1}"


def see_through(server: JobServer, job_id: str, run: Path | str, console: Console) -> None:
    """Show the log until the job ends; Ctrl-C ends the look, not the job."""
    try:
        job = server.follow(job_id, lambda text: console.out(text, end="", highlight=False))
    except KeyboardInterrupt:
        _say(console, f"{job_id} goes on; look again: effrl job logs {run}, end it: effrl job stop {run}")
        raise typer.Exit(130) from None
    if job.status != "SUCCEEDED":
        why = (job.message or "").partition(", last available logs")[0].strip().rstrip(".")
        again = "; the same effrl submit goes on from the newest checkpoint" if job.status == "STOPPED" else ""
        raise RunError(f"{job_id} has {'been stopped' if job.status == 'STOPPED' else 'failed'}: {why}{again}")


def _has_more(job: Any, work: JobWork) -> bool:
    return work.goes_on or job.metadata[SETTINGS] != work.settings


def _start(server: JobServer, work: JobWork, wish: JobWish, job_id: str, console: Console) -> str:
    """Ship what is needed and start the job; where another command was quicker, its job is the one."""
    environment = _environment(work, wish)
    _say(console, f"ships {work.upload.told()}" if work.upload else "ships nothing: the run needs no file from here")
    _say(console, f"{job_id} on {server.address}: {work.entrypoint}")
    server.submit(
        job_id,
        work.entrypoint,
        work.upload.size if work.upload else 0,
        runtime_env=environment,
        metadata={RUN: str(work.run), SETTINGS: work.settings, GRACE: str(wish.grace)},
        entrypoint_num_cpus=wish.cpus or None,
        entrypoint_memory=int(wish.memory * 2**30) or None,
        entrypoint_resources=_resources(wish.resources) or None,
    )
    return job_id


def _environment(work: JobWork, wish: JobWish) -> dict[str, Any]:
    """Ray's runtime_env: that of the file, what is shipped, and the grace of a stop.

    Raises:
        UserError: the file is none, or says itself what is to be shipped.
    """
    given: Any = {}
    if wish.runtime_env is not None:
        try:
            given = yaml.safe_load(wish.runtime_env.read_text()) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UserError(f"cannot read {wish.runtime_env}: {' '.join(str(error).split())}") from error
    if not isinstance(given, dict) or not isinstance(given.get("env_vars", {}), dict):
        raise UserError(f"{wish.runtime_env} must hold fields of a runtime_env, such as env_vars: {{NAME: value}}")
    if taken := sorted({"working_dir", "excludes"} & given.keys()):
        raise UserError(f"{wish.runtime_env} sets {taken[0]}: use --working-dir and --exclude, which show what is sent")
    variables = {**given.get("env_vars", {}), STOP_WAIT: str(wish.grace)}
    return {**given, **(work.upload.runtime_env if work.upload else {}), "env_vars": variables}


def _resources(told: Sequence[str]) -> dict[str, float]:
    """Raises:
    UserError: one of them is not NAME=AMOUNT.
    """
    try:
        return {name: float(amount) for name, _, amount in (text.partition("=") for text in told)}
    except ValueError as error:
        raise UserError(f"--driver-resource {' '.join(told)}: write NAME=AMOUNT, such as driver_node=1") from error


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, soft_wrap=True, markup=False)
