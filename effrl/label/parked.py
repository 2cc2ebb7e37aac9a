"""Groups that wait for their label. Labels that come at once need none of this: :class:`NoParking` keeps nothing."""

from collections.abc import Sequence

from effrl.errors import RunError
from effrl.stateless import StatelessPart
from effrl.types import Decision, Judged, Step


class NoParking(StatelessPart):
    """The :class:`~effrl.protocols.Parked` of a run whose labels come at once."""

    name = "parked"

    async def answered(self, step: Step) -> list[Judged]:
        return []

    async def keep(self, step: Step, judged: Sequence[Judged]) -> Sequence[Judged]:
        """Return all of them.

        Raises:
            RunError: one is parked, and would be lost.
        """
        if parked := [entry.group.prompt.id for entry in judged if entry.decision is Decision.PARK]:
            raise RunError(f"label.kind parks the group of {parked[0]}, and this run keeps no parked groups: drop it")
        return judged
