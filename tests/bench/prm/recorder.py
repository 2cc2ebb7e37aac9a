"""Process rewards that give none: they keep what a run learns from, so that PRMs can learn from the same rollouts."""

import os
from pathlib import Path

from effrl.batch import Batch
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.sequences import ProcessReward
from effrl.stateless import StatelessPart
from effrl.types import Step
from tests.bench.prm.recorded import recorded_of, write

FOLDER = "EFFRL_PRM_ROLLOUTS"
"""The environment variable that names the folder."""


class Recorder(StatelessPart):
    """``process.kind=tests.bench.prm.recorder:Recorder``: without rewards, ``advantage.kind=prime`` is RLOO."""

    name = "process"

    def __init__(self, config: Config) -> None:
        if FOLDER not in os.environ:
            raise UserError(f"the recorder needs a folder: set {FOLDER}")
        self.folder = Path(os.environ[FOLDER])
        self.folder.mkdir(parents=True, exist_ok=True)

    async def reward(self, step: Step, batch: Batch) -> ProcessReward:
        write(self.folder / f"step_{step.number:04}.npz", [recorded_of(scored) for scored in batch.trained])
        return ProcessReward()
