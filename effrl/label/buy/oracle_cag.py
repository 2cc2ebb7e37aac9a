"""The groups whose label truly corrects the gradient most: a diagnostic, which looks at labels that nobody bought."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from effrl.batch import Settled
from effrl.label.care.records import Lesson
from effrl.label.halves import Candidate, Rank, Untaught
from effrl.protocols import Monitor
from effrl.stateless import StatelessPart
from effrl.types import Step


@dataclass(frozen=True)
class OracleCagBuyer(StatelessPart, Untaught):
    """A :class:`~effrl.label.halves.Buyer`: what CARE has to estimate, it is told."""

    monitor: Monitor
    name = "buyer"

    async def rank(self, step: Step, candidates: Sequence[Candidate]) -> list[Rank]:
        return [Rank(gap) for gap in await self.monitor.gaps([entry.read for entry in candidates])]

    def learn(self, step: Step, settled: Sequence[Settled], lesson: Lesson) -> Mapping[str, float]:
        """Nothing; every row of metrics says what chose here, so that no report can leave it out."""
        return {"label/diagnostic": 1.0}
