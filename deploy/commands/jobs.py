"""``effrl submit`` and ``effrl job``: runs that are Ray jobs, from their start to their end."""

import time
from collections.abc import Callable
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.commands.arguments import Overrides, Recipe
from deploy.jobs.server import ENDED, GRACE, RUN, JobServer, connect
from effrl.errors import RunError, UserError

if TYPE_CHECKING:
    from deploy.commands.submit import JobWish

SPARE_S = 30.0
"""Beyond a job's grace, until Ray must have killed it and said so."""
POLL_S = 0.5
SAVED = "stopped after step "
"""How the line begins in which a run says how far it came (``deploy.commands.train``)."""

job_app = typer.Typer(name="job", help="Look at runs that are Ray jobs, stop them, resume them.", no_args_is_help=True)
JobRun = Annotated[str, typer.Argument(metavar="RUN", help="A job's run directory, or its id.")]
Address = Annotated[
    str, typer.Option(envvar="RAY_API_SERVER_ADDRESS", help="The cluster's dashboard: http://HOST:8265.")
]
Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Show the log until the job ends.")]


def wish_of(
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Show the log until the job ends.")] = True,
    working_dir: Annotated[
        Path | None, typer.Option("--working-dir", help="Folder to ship; by default this one, if the config needs it.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Pattern of what not to ship, as in a .gitignore.")] = None,
    runtime_env: Annotated[
        Path | None, typer.Option(help="YAML file of Ray's runtime_env, for env_vars, pip and others.")
    ] = None,
    grace: Annotated[int, typer.Option(min=1, help="Seconds that a stop may take before the job is killed.")] = 300,
    driver_cpus: Annotated[
        float, typer.Option(min=0, help="CPUs to reserve for the driver; with any it may leave the head.")
    ] = 0,
    driver_memory: Annotated[float, typer.Option(min=0, help="GiB to reserve for the driver.")] = 0,
    driver_resource: Annotated[
        list[str] | None, typer.Option(help="Ray resource to reserve for the driver: NAME=AMOUNT.")
    ] = None,
) -> "JobWish":
    """The options of every command that starts a job."""
    from deploy.commands.submit import JobWish

    resources = tuple(driver_resource or ())
    return JobWish(working_dir, tuple(exclude or ()), runtime_env, grace, driver_cpus, driver_memory, resources, follow)


def starts_a_job(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose ``wish`` is made of the options of :func:`wish_of`: declared by each, they would drift apart."""
    own, options = signature(command), signature(wish_of).parameters

    @wraps(command, assigned=("__module__", "__name__", "__doc__"))
    def run(**given: Any) -> None:
        wish = wish_of(**{name: given.pop(name) for name in options})
        command(**given, wish=wish)

    kept = (parameter for parameter in own.parameters.values() if parameter.name != "wish")
    run.__dict__["__signature__"] = own.replace(parameters=[*kept, *options.values()])
    return run


@starts_a_job
def submit(recipe: Recipe, overrides: Overrides = None, address: Address = "", *, wish: "JobWish") -> None:
    """Train on a Ray cluster: effrl submit my.yaml run.dir=/shared/runs/my --address http://HOST:8265.

    The same command again attaches to the job while it runs, and goes on with the run where it was stopped or failed.
    """
    from deploy.commands import submit as submitting

    submitting.submit(recipe, overrides or [], address, wish, Console())


@job_app.command()
def status(
    run: Annotated[str, typer.Argument(metavar="[RUN]", help="A run directory or a job's id; all by default.")] = "",
    address: Address = "",
) -> None:
    """Show how the jobs of a cluster stand."""
    server, console = connect(address), Console()
    jobs = [_found(server, run)] if run else server.jobs()
    if not jobs:
        console.print("no job of effrl on this cluster", highlight=False)
        return
    table = Table("job", "status", "since", "took", "run directory", box=None, pad_edge=False, header_style="bold")
    for job in jobs:
        table.add_row(*map(Text, (job.submission_id, str(job.status), *_times(job), job.metadata[RUN])))
    console.print(table)
    if run and jobs[0].status == "FAILED":
        console.print(Text((jobs[0].message or "").strip()), soft_wrap=True)


@job_app.command()
def logs(
    run: JobRun,
    address: Address = "",
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on until the job ends.")] = False,
) -> None:
    """Show what a job has said; with --follow until it ends. Ctrl-C ends the look, not the job."""
    from deploy.commands.submit import see_through

    server, console = connect(address), Console()
    job = _found(server, run)
    if follow:
        see_through(server, job.submission_id, run, console)
    else:
        console.out(server.logs(job.submission_id), end="", highlight=False)


@job_app.command()
def stop(run: JobRun, address: Address = "") -> None:
    """End a job: it saves the last commit at once, and the same `effrl submit` goes on from there."""
    server, console = connect(address), Console()
    job = _found(server, run)
    if job.status in ENDED:
        console.print(f"{job.submission_id} has ended: {job.status}", highlight=False)
        return
    grace, began = float(job.metadata[GRACE]), time.monotonic()
    server.stop(job.submission_id)
    console.print(f"stopping {job.submission_id}, which has {grace:.0f} s to save", highlight=False)
    while (job := server.job(job.submission_id)).status not in ENDED:
        if time.monotonic() - began > grace + SPARE_S:
            raise RunError(f"{job.submission_id} did not end in {grace + SPARE_S:.0f} s: see effrl job logs {run}")
        time.sleep(POLL_S)
    if job.status == "SUCCEEDED":
        console.print(f"{job.submission_id} had just finished", highlight=False)
        return
    _tell_end(server.logs(job.submission_id), job.submission_id, time.monotonic() - began, grace, console)


@job_app.command()
@starts_a_job
def resume(
    run: Annotated[Path, typer.Argument(help="Run directory, as the cluster sees it.")],
    overrides: Overrides = None,
    address: Address = "",
    *,
    wish: "JobWish",
) -> None:
    """Go on with a run on the cluster, as `effrl resume` does; ships nothing but what --working-dir names."""
    from deploy.commands import submit as submitting

    submitting.resume(run, overrides or [], address, wish, Console())


def _found(server: JobServer, run: str) -> Any:
    job = server.newest(run)
    if job is None:
        raise UserError(f"no job of {run} on {server.address}: `effrl job status` lists those that effrl submitted")
    return job


def _tell_end(log: str, job_id: str, took: float, grace: float, console: Console) -> None:
    """How far the run came.

    Raises:
        RunError: it was killed before it had saved.
    """
    told = [line for line in log.splitlines() if line.startswith(SAVED)]
    if not told and took >= grace:
        raise RunError(
            f"{job_id} was killed after {grace:.0f} s, before it had saved: it goes on from the checkpoint before;"
            f" submit it with a longer --grace than {grace:.0f}"
        )
    ended = told[-1] if told else "it ended before its first step"
    console.print(f"{ended}\nthe stop took {took:.0f} s", highlight=False, soft_wrap=True)


def _times(job: Any) -> tuple[str, str]:
    """When a job was submitted, and how long it took, or has been there."""
    from effrl.report.progress import duration  # NumPy is behind it, which `effrl --help` need not load

    since = job.start_time / 1000
    ended = job.end_time / 1000 if job.end_time else time.time()
    return time.strftime("%m-%d %H:%M", time.localtime(since)), duration(ended - since)
