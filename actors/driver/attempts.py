"""Attempts at a run: where a worker is lost whom nobody can replace alone, all begin again at the newest checkpoint."""

import asyncio
from collections.abc import Callable

from actors.cluster import Cluster
from actors.driver.run import Driver
from actors.wait import LostError
from effrl.config.schema import Config
from effrl.errors import RunError, UserError
from effrl.preflight.check import Preflight
from effrl.report.progress import Progress
from effrl.run import metrics
from effrl.run.directory import RunDirectory
from effrl.run.resume import StartPoint, resume_point
from effrl.run.uploads import Uploads

RETRIES = 3
"""Attempts in a row that may end by the loss of a worker without a new checkpoint."""


def attempts(
    config: Config,
    directory: RunDirectory,
    found: Preflight,
    start: StartPoint,
    progress: Progress,
    cluster: Cluster,
    log: Callable[[Exception], None],
    uploads: Uploads,
) -> bool:
    """Run the driver, again and again where that is worth it.

    Args:
        log: keeps what ended an attempt.
        uploads: where checkpoints go besides the run directory.

    Returns:
        Whether the run is finished.

    Raises:
        LostError: of the last attempt; :data:`RETRIES` of them came no further.
        RunError: what is left of the cluster has no room for another attempt.
    """
    left, begun = RETRIES, False
    while True:
        driver = Driver(config, directory, found, start, progress, cluster, uploads)
        try:
            return asyncio.run(driver.run())
        except UserError as error:
            if not begun:
                raise
            raise RunError(f"the run cannot go on: {error}") from error
        except LostError as error:
            log(error)
            if driver.stopping:  # whoever ends this process ends workers too, and nobody wants another attempt
                progress.note(f"{str(error).partition('. ')[0]}; the newest checkpoint is what a resume goes on from")
                return False
            again = resume_point(directory, config, found.model.path)
            left = RETRIES if again.step > start.step else left - 1
            if not left:
                raise
            taken_back = f", {again.rolled_back} groups taken back" if again.rolled_back else ""
            progress.note(f"{str(error).partition('. ')[0]}; going on after step {again.step}{taken_back}")
            progress.resume(metrics.read(directory.metrics))
            cluster.begin_again(without=error.role)
            start, begun = again, True
