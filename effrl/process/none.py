"""A run without process rewards."""

from effrl.batch import Batch
from effrl.sequences import ProcessReward
from effrl.stateless import StatelessPart
from effrl.types import Step


class NoProcess(StatelessPart):
    """The :class:`~effrl.protocols.ProcessRewards` of a run that has outcome rewards alone."""

    name = "process"

    async def reward(self, step: Step, batch: Batch) -> ProcessReward:
        return ProcessReward()
