"""``effrl stop``: have a run save and end before its process is killed."""

import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console

from effrl.errors import DeadlineError
from effrl.run.directory import RunDirectory, free_within, holder


def stop(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until the run has saved and ended.")] = 600,
) -> None:
    """Have a run save and end, and wait until it has. One of another machine is waited for, and not asked."""
    tell = partial(Console().print, highlight=False, markup=False, soft_wrap=True)
    directory = RunDirectory(run)
    if (process := holder(directory)) is None:
        tell(f"{run} is not running")
        return
    if _is_here(process, directory.lock):
        with suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGTERM)
        tell(f"{run}: process {process} was asked to stop")
    else:
        tell(f"{run}: process {process} of another machine works on it")
    if not free_within(directory, wait):
        raise DeadlineError(f"{run} is still in use after {wait:g} s")
    tell(f"{run} has stopped")


def _is_here(process: str, lock: Path) -> bool:
    """Whether a process of this machine holds a lock: another machine may have one of the same number."""
    try:
        return any(Path(file.path) == lock.resolve() for file in psutil.Process(int(process)).open_files())
    except (ValueError, psutil.Error):
        return False
