"""The ranks of one DeepSpeed group, called as one by the driver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.wait import answers
from effrl.errors import RunError
from effrl.learn.packing import layout, pad, weightless
from effrl.saved import SavedFile
from effrl.sequences import TrainingSequence

CHUNK = 1024
"""Rows that are scored together: what a wait lasts for, and what a message may hold."""


@dataclass
class RankGroup:
    """Ranks by name, in order."""

    ranks: Mapping[str, Any]
    wait_s: float

    async def all(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method on every rank; the answers in the order of the ranks."""
        refs = {name: getattr(rank, method).remote(*arguments) for name, rank in self.ranks.items()}
        return await answers(refs, self.wait_s, method)

    async def first(self, method: str, *arguments: Any) -> Any:
        """Call a method on every rank (they share collectives), and return the answer of rank 0."""
        return (await self.all(method, *arguments))[0]

    async def scatter(self, method: str, shares: Sequence[Any], *arguments: Any) -> Any:
        """Call a method on every rank, each with its own share; the answer of rank 0."""
        return (await self.each(method, shares, *arguments))[0]

    async def each(self, method: str, shares: Sequence[Any], *arguments: Any) -> list[Any]:
        """Call a method on every rank, each with its own share; the answers in the order of the ranks."""
        pairs = zip(self.ranks.items(), shares, strict=True)
        refs = {name: getattr(rank, method).remote(share, *arguments) for (name, rank), share in pairs}
        return await answers(refs, self.wait_s, method)

    async def save(self, into: Path) -> dict[str, SavedFile]:
        """Have every rank write its part of a checkpoint; what they say they wrote, by path in it.

        Raises:
            RunError: a rank says that it wrote nothing.
        """
        written = dict(zip(self.ranks, await self.all("save", into), strict=True))
        if silent := [rank for rank, files in written.items() if not files]:
            raise RunError(f"{', '.join(silent)} wrote nothing into {into}: the checkpoints before it stay")
        return {name: file for own in written.values() for name, file in own.items()}

    async def rows(self, method: str, sequences: Sequence[TrainingSequence], tokens: int, *arguments: Any) -> list[Any]:
        """What a method makes of each sequence, in order.

        Args:
            method: takes a rank's micro-batches, and returns for each of them a list with an entry for each row.
            tokens: most tokens of a micro-batch, padding included.
        """
        found: list[Any] = []
        for start in range(0, len(sequences), CHUNK):
            found += await self._chunk(method, sequences[start : start + CHUNK], tokens, *arguments)
        return found

    async def _chunk(
        self, method: str, sequences: Sequence[TrainingSequence], tokens: int, *arguments: Any
    ) -> list[Any]:
        """The same of so many sequences that a wait is short; each is in one micro-batch of one rank."""
        places = layout([len(sequence.ids) for sequence in sequences], len(self.ranks), tokens)
        shares = [[pad([sequences[row] for row in rows]) for rows in share] or [weightless()] for share in places]
        return in_order(places, await self.each(method, shares, *arguments))


def in_order(places: Sequence[Sequence[Sequence[int]]], answered: Sequence[Sequence[Sequence[Any]]]) -> list[Any]:
    """What ranks answered of each row of each micro-batch, in the order that rows had before :func:`layout`."""
    found: dict[int, Any] = {}
    for share, batches in zip(places, answered, strict=True):
        for rows, values in zip(share, batches, strict=False):  # a rank without a share scored a weightless batch
            found |= dict(zip(rows, values, strict=True))
    return [found[row] for row in range(len(found))]
