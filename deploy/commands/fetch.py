"""``effrl fetch``: a run from its storage to a directory, to look at it or to go on with it."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def fetch(
    storage: Annotated[str, typer.Argument(metavar="URL", help="run.storage of the run, such as s3://BUCKET/NAME.")],
    run: Annotated[Path, typer.Argument(help="Run directory to write; it must not exist.")],
) -> None:
    """Fetch the newest checkpoint of a run, with all of its metrics, rollouts and logs, and compare every file."""
    from effrl.run.storage import Storage
    from effrl.run.stored import fetch_run

    tell = partial(Console().print, highlight=False, markup=False, soft_wrap=True)
    found = fetch_run(Storage(storage), run)
    tell(f"{run}  step {found.step}, {len(found.files)} files, {found.size / 1e6:,.1f} MB")
    tell(f"look  effrl report {run}     go on  effrl resume {run}")
