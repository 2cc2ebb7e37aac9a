"""Nothing is learned from groups without a label."""

from collections.abc import Sequence

from effrl.label.halves import Candidate, Left, Trust, Untaught
from effrl.stateless import StatelessPart
from effrl.types import Step


class DropFilter(StatelessPart, Untaught):
    """A :class:`~effrl.label.halves.Filter`."""

    name = "filter"

    def trust(self, step: Step, candidates: Sequence[Candidate], groups: int) -> list[Trust]:
        return [Trust() for _ in candidates]

    def judge(self, step: Step, left: Sequence[Left]) -> list[str]:
        return ["" for _ in left]
