"""A run without process rewards."""

from collections.abc import Mapping, Sequence

from effrl.batch import Batch
from effrl.stateless import StatelessPart
from effrl.types import Float32, Step


class NoProcess(StatelessPart):
    """The :class:`~effrl.protocols.ProcessRewards` of a run that has outcome rewards alone."""

    name = "process"

    async def reward(self, step: Step, batch: Batch) -> Mapping[str, Sequence[Float32]]:
        return {}
