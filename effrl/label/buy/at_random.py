"""Groups chosen at random: what active labelling must beat."""

from collections.abc import Sequence
from dataclasses import dataclass

from effrl.label.halves import Candidate, Rank, Untaught
from effrl.seeds import derive
from effrl.stateless import StatelessPart
from effrl.types import Step


@dataclass(frozen=True)
class RandomBuyer(StatelessPart, Untaught):
    """A :class:`~effrl.label.halves.Buyer`: the same draw for the same seed, step and prompt."""

    seed: int
    name = "buyer"

    async def rank(self, step: Step, candidates: Sequence[Candidate]) -> list[Rank]:
        return [Rank(derive(self.seed, "label", step.number, entry.prompt_id)) for entry in candidates]
