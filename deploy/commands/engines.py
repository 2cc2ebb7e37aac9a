"""Work on engines of a command's own, which leave nothing behind but the log of a failure."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console

from deploy.commands.train import failure, log
from effrl.config.schema import Config
from effrl.errors import RunError, UserError
from effrl.report.show import printable
from effrl.run.directory import RunDirectory

if TYPE_CHECKING:
    from actors.cluster import Cluster

T = TypeVar("T")
Tell = Callable[[str], None]


def on_engines(
    config: Config, work: "Callable[[Cluster, Tell], Coroutine[Any, Any, T]]", name: str, console: Console
) -> T:
    """What ``work`` makes of a cluster that does not learn, and of somebody to tell what it waits for.

    Raises:
        UserError: something is wrong that only an actor could see.
        RunError: a worker failed; its log is kept, in a temporary directory named after ``name``.
    """
    from actors.cluster import Cluster
    from actors.session import ray_session

    directory = RunDirectory(Path(tempfile.mkdtemp(prefix=f"effrl-{name}-")))
    try:
        with console.status("") as status, ray_session(), Cluster(config, directory.path, learning=False) as cluster:
            made = asyncio.run(work(cluster, lambda text: status.update(printable(text))))
    except (UserError, KeyboardInterrupt):
        shutil.rmtree(directory.path)
        raise
    except Exception as error:  # whatever it was: the terminal gets one block, the log the traceback
        log(directory, error)
        raise RunError("\n".join(failure(directory, error))) from error
    shutil.rmtree(directory.path)
    return made
