"""What a labeller does that wants no view, learns nothing and has nothing to save."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from effrl.batch import Settled
from effrl.types import Saved, Step, Want


class Stateless:
    """Base of labellers whose decisions depend on the config and the step's groups alone."""

    name = "labeller"
    wants: frozenset[Want] = frozenset()

    async def learn(self, step: Step, settled: Sequence[Settled]) -> Mapping[str, float]:
        return {}

    async def save(self, into: Path) -> Saved:
        return Saved({}, {})

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        return None
