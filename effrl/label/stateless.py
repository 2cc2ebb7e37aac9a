"""What a labeller does that wants no view, learns nothing and has nothing to save."""

from collections.abc import Mapping, Sequence

from effrl.batch import Settled
from effrl.stateless import StatelessPart
from effrl.types import Step, Want


class Stateless(StatelessPart):
    """Base of labellers whose decisions depend on the config and the step's groups alone."""

    name = "labeller"
    wants: frozenset[Want] = frozenset()

    async def learn(self, step: Step, settled: Sequence[Settled]) -> Mapping[str, float]:
        return {}
