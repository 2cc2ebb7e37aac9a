"""A fixed set of prompts: what methods have that know beforehand which prompts are labelled."""

from collections.abc import Sequence
from dataclasses import dataclass

from effrl.label.halves import Candidate, Rank, Untaught
from effrl.seeds import derive
from effrl.stateless import StatelessPart
from effrl.types import Step


@dataclass(frozen=True)
class FixedBuyer(StatelessPart, Untaught):
    """A :class:`~effrl.label.halves.Buyer` of a share of all prompts, drawn by seed and prompt id; never of others."""

    share: float
    seed: int
    name = "buyer"

    async def rank(self, step: Step, candidates: Sequence[Candidate]) -> list[Rank]:
        return [Rank(self._rank(entry.prompt_id)) for entry in candidates]

    def _rank(self, prompt_id: str) -> float | None:
        place = derive(self.seed, "labelled", prompt_id) / 2**63
        return place if place < self.share else None
