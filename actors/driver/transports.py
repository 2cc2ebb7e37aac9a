"""How a version's bytes get from the learner's ranks into the engines: through the object store, or within a GPU."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

import ray

from actors.learner.group import LearnerGroup
from actors.snapshot import Manifest
from actors.wait import answer, answers
from effrl.batch import Batch
from effrl.errors import RunError
from effrl.protocols import Learner
from effrl.types import Continuation, Float32, ReadGroup, Receipt, Step, Update, View, Want


class Transport(Protocol):
    """Gives the learner's current weights to every rollout worker."""

    learner: LearnerGroup
    workers: Mapping[str, Any]
    wait_s: float

    async def deliver(self, version: int) -> tuple[list[Receipt], Manifest]:
        """One receipt per worker, and what each of them should have taken; engines can sample afterwards."""
        ...

    async def repeat(self, worker: Any, name: str) -> tuple[Receipt, int, Manifest]:
        """Give one more worker what was delivered last; its receipt, the version, and what it should have taken."""
        ...


@dataclass
class ShmTransport:
    """Rank 0 packs a version; Ray's object store carries one copy to each node, where every engine reads it.

    The copy stays until the next one: whoever takes the place of a lost worker gets it without the learner, which may
    have moved on.
    """

    learner: LearnerGroup
    workers: Mapping[str, Any]
    wait_s: float
    _last: tuple[ray.ObjectRef, Manifest, int] | None = field(default=None, init=False)

    async def deliver(self, version: int) -> tuple[list[Receipt], Manifest]:
        data, manifest = await self.learner.snapshot()
        self._last = data, manifest, version
        refs = {name: worker.load.remote(data, manifest, version) for name, worker in self.workers.items()}
        return await answers(refs, self.wait_s, f"the receipt of version {version}"), manifest

    async def repeat(self, worker: Any, name: str) -> tuple[Receipt, int, Manifest]:
        assert self._last is not None, "a version was delivered"
        data, manifest, version = self._last
        loading = worker.load.remote(data, manifest, version)
        return await answer(loading, self.wait_s, f"the receipt of version {version}", name), version, manifest


@dataclass
class IpcTransport:
    """Each rank shows its weights to the engine on its own GPU: nothing is copied but into the engine.

    An engine that sleeps wakes in two parts, or two models, their optimizer and a cache would meet in one GPU's memory:
    first its weights, then, when the new ones are in and the learner's are let go, its cache.
    """

    learner: LearnerGroup
    workers: Mapping[str, Any]
    wait_s: float

    async def deliver(self, version: int) -> tuple[list[Receipt], Manifest]:
        await wake(self.workers, "weights", self.wait_s)
        pairs = list(zip(self.learner.ranks.items(), self.workers.items(), strict=True))
        exported = {name: rank.export_ipc.options(num_returns=2).remote() for (name, rank), _ in pairs}
        refs = {name: worker.load_exported.remote(exported[rank][0], version) for (rank, _), (name, worker) in pairs}
        try:
            receipts = await answers(refs, self.wait_s, f"the receipt of version {version}")
            first = next(iter(exported))
            manifest: Manifest = await answer(exported[first][1], self.wait_s, "what is published", first)
        finally:
            await self.learner.all("release_ipc")
        await wake(self.workers, "kv_cache", self.wait_s)
        return receipts, manifest

    async def repeat(self, worker: Any, name: str) -> tuple[Receipt, int, Manifest]:
        raise RunError(f"{name} shares its GPU with a learner rank: it is not replaced alone")


async def wake(workers: Mapping[str, Any], part: str, wait_s: float) -> None:
    """Wake the ``weights`` or the ``kv_cache`` of engines that sleep."""
    await answers({name: worker.wake.remote(part) for name, worker in workers.items()}, wait_s, f"waking its {part}")


@dataclass
class TakingTurns:
    """A learner on the GPU of an engine, which sleeps while the learner works; a publish wakes it."""

    learner: Learner
    workers: Mapping[str, Any]
    wait_s: float

    @property
    def version(self) -> int:
        return self.learner.version

    async def view(self, groups: Sequence[ReadGroup], wants: frozenset[Want]) -> Sequence[View]:
        async with self._asleep() if wants else nullcontext():
            return await self.learner.view(groups, wants)

    async def logprobs(self, texts: Sequence[Continuation]) -> tuple[int, Sequence[Float32]]:
        async with self._asleep():
            return await self.learner.logprobs(texts)

    async def step(self, step: Step, batch: Batch) -> Update:
        await self._sleep()
        update = await self.learner.step(step, batch)
        if not update.learned:  # nothing will be published
            await self._wake()
        return update

    @asynccontextmanager
    async def _asleep(self) -> AsyncIterator[None]:
        await self._sleep()
        yield
        await self._wake()

    async def _sleep(self) -> None:
        await answers({name: worker.sleep.remote() for name, worker in self.workers.items()}, self.wait_s, "sleep")

    async def _wake(self) -> None:
        await wake(self.workers, "weights", self.wait_s)
        await wake(self.workers, "kv_cache", self.wait_s)
