"""Groups that wait for their label. Labels that come at once need none of this: :class:`NoParking` keeps nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from effrl.errors import RunError
from effrl.types import Decision, Judged, Saved, Step


class NoParking:
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

    async def save(self, into: Path) -> Saved:
        return Saved({}, {})

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        return None
