"""The learner as the driver sees it: all of its ranks, called as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from actors.snapshot import Manifest
from actors.wait import answers


@dataclass
class LearnerGroup:
    """The ranks of the learner, called as one."""

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

    async def snapshot(self) -> tuple[ray.ObjectRef, Manifest]:
        """Weights as rank 0 has them: the bytes stay in the object store, only their manifest comes here.

        Every rank is called: under ZeRO-3 each has a part of every parameter.
        """
        pairs = {name: rank.snapshot.options(num_returns=2).remote() for name, rank in self.ranks.items()}
        manifest, *_ = await answers({name: pair[1] for name, pair in pairs.items()}, self.wait_s, "snapshot")
        return next(iter(pairs.values()))[0], manifest
