"""What a part of a run does that has nothing to save."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from effrl.saved import Saved


class StatelessPart:
    """Base of :class:`effrl.protocols.Part`s whose behaviour depends on the config and their arguments alone."""

    async def save(self, into: Path) -> Saved:
        return Saved({}, {})

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        return None
