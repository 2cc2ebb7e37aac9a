"""Every group without a label is supervised by its majority vote (TTRL, arXiv 2504.16084)."""

from collections.abc import Sequence

from effrl.label.halves import Candidate, Left, Trust, Untaught
from effrl.label.vote import NO_VOTE, majority
from effrl.stateless import StatelessPart
from effrl.types import Step, Supervision


class VoteFilter(StatelessPart, Untaught):
    """A :class:`~effrl.label.halves.Filter`."""

    name = "filter"

    def trust(self, step: Step, candidates: Sequence[Candidate], groups: int) -> list[Trust]:
        return [Trust() for _ in candidates]

    def judge(self, step: Step, left: Sequence[Left]) -> list[Supervision | str]:
        return [majority(entry.candidate.read) or NO_VOTE for entry in left]
