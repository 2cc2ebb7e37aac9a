"""A run without process rewards."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from effrl.batch import Batch
from effrl.types import Float32, Saved, Step


class NoProcess:
    """The :class:`~effrl.protocols.ProcessRewards` of a run that has outcome rewards alone."""

    name = "process"

    async def reward(self, step: Step, batch: Batch) -> Mapping[str, Sequence[Float32]]:
        return {}

    async def save(self, into: Path) -> Saved:
        return Saved({}, {})

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        return None
