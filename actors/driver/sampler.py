"""Samples on the rollout workers: performs what the fleet decides (:mod:`effrl.fleet`), and replaces who is lost."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import numpy as np

from actors.rollout.sampling import Sampled, SampleRequest
from actors.wait import LostError, answer
from effrl.errors import DeadlineError, RunError
from effrl.fleet import PATIENCE, Fleet, Lease
from effrl.types import Rollout

T = TypeVar("T")
TRIES = 3
"""To start a worker in the place of a lost one, and to make a call to all workers."""


class Replacing(Protocol):
    """Brings workers back; both methods raise a RunError where that fails."""

    async def start(self, worker: str, lost: Any) -> Any:
        """Start another process in the place of a worker, which ends; returns its handle once it is ready."""
        ...

    async def load(self, worker: str, handle: Any) -> int:
        """Give it the newest weights, and see that it serves them; returns their version."""
        ...


@dataclass
class Sampler:
    """Shares requests over the rollout workers, and gathers the results in the order of the requests.

    A worker that dies, or does not answer in time, gives its share to another, whole: so the rollouts are the same. Its
    place is filled again. Where that fails the others go on, while there are ``minimum`` of them.
    """

    workers: dict[str, Any]
    """Handles by name; a lost one is not in it until it is replaced."""
    wait_s: float
    replacing: Replacing | None = None
    """Without it, a loss is raised."""
    minimum: int = 1
    room: int = 1
    """Leases that a worker holds at a time (:class:`~effrl.fleet.Fleet`)."""
    shares: int | None = None
    """Leases that a batch is cut into, where workers may join; one for each that is there by default."""
    version: int = 0
    """That the workers serve at the beginning."""
    tell: Callable[[str], None] = print
    """Is told who was lost, and what became of that."""
    lost: int = 0
    """Workers that were lost since somebody has set this to 0."""
    _fleet: Fleet = field(init=False)
    _own: str = field(default_factory=lambda: uuid4().hex[:8])
    """Tells its leases from those of an attempt before, which warm engines may still be about to end."""
    _poison: set[str] = field(default_factory=set)
    """Ids of prompts that have killed workers, and are sampled no more."""
    _requests: dict[int, SampleRequest] = field(default_factory=dict)
    _results: dict[int, asyncio.Future[Sampled]] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _healing: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _weights: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Is held by whoever changes the weights that workers serve: a replacement that loads the version before while the
    next one is published would never get it."""
    _ended: RunError | None = None
    """Why there are too few workers to go on."""

    def __post_init__(self) -> None:
        self._fleet = Fleet(self.shares or len(self.workers), self.room, self.version)
        for name in self.workers:
            self._fleet.joined(name, self.version)

    async def __call__(self, requests: Sequence[SampleRequest]) -> list[Sampled]:
        if self._ended:
            raise self._ended
        fit = [request.prompt.id not in self._poison for request in requests]
        asked = [request for request, is_fit in zip(requests, fit, strict=True) if is_fit]
        numbers = self._fleet.ask(len(asked))
        loop = asyncio.get_running_loop()
        results: list[asyncio.Future[Sampled]] = [loop.create_future() for _ in numbers]
        self._requests.update(zip(numbers, asked, strict=True))
        self._results.update(zip(numbers, results, strict=True))
        self._start()
        try:
            sampled = iter(await asyncio.gather(*results))
        finally:
            self._end(self._fleet.withdraw(numbers))
            for number in numbers:
                del self._requests[number], self._results[number]
        return [
            next(sampled) if is_fit else self._nothing(request) for request, is_fit in zip(requests, fit, strict=True)
        ]

    @property
    def serves(self) -> int:
        """The newest version that all workers have confirmed."""
        return self._fleet.version

    async def any(self, method: str, *arguments: Any, what: str) -> Any:
        """What one of the workers answers; which, makes no difference."""

        async def ask() -> Any:
            name, worker = next(iter(self.workers.items()))
            return await answer(getattr(worker, method).remote(*arguments), self.wait_s, what, name)

        return await self._healed(ask)

    async def publish(self, version: int, call: Callable[[], Awaitable[T]]) -> T:
        """The result of a call that gives every worker a version; it is made again for who replaces a lost one."""

        async def give() -> T:
            async with self._weights:
                found = await call()
                self._fleet.published(version)
                return found

        found = await self._healed(give)
        self._start()
        return found

    async def _healed(self, call: Callable[[], Awaitable[T]]) -> T:
        for _ in range(TRIES):
            await self._whole()
            workers = dict(self.workers)
            try:
                return await call()
            except LostError as error:
                if error.role not in workers or self.replacing is None:
                    raise
                lost = error
                await self._heal(error.role, workers[error.role], error)
        raise lost

    async def _whole(self) -> None:
        """Wait until everybody who is known to be lost is replaced, or given up; each attempt has deadlines."""
        while self._healing:
            await asyncio.wait(self._healing.values())
        if self._ended:
            raise self._ended

    def _start(self) -> None:
        """Have idle workers begin what waits."""
        for name, lease in self._fleet.hand_out():
            asked = [self._requests[number] for number in lease.requests]
            task = asyncio.create_task(self._perform(name, self.workers[name], lease, asked))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _end(self, unwanted: Iterable[tuple[str, Lease]]) -> None:
        """Have workers stop to sample what nobody waits for; that they did is seen when their leases are done."""
        for name, lease in unwanted:
            if name in self.workers:
                self.workers[name].abort.remote(self._named(lease))

    def _named(self, lease: Lease) -> str:
        return f"{self._own}/{lease.number}"

    async def _perform(self, name: str, worker: Any, lease: Lease, asked: Sequence[SampleRequest]) -> None:
        try:
            found = await answer(worker.sample.remote(self._named(lease), asked), self.wait_s, "rollouts", name)
        except Exception as error:  # whatever it is, those who wait for the rollouts are told
            if isinstance(error, LostError | DeadlineError) and self.replacing is not None:
                await self._heal(name, worker, error)
            else:
                self._fail(self._fleet.done(name, lease), error)
        else:
            sampled = dict(zip(lease.requests, found, strict=True))
            for number in self._fleet.done(name, lease):
                self._settle(number, sampled[number])
        self._start()

    async def _heal(self, name: str, worker: Any, error: RunError) -> None:
        """Replace a lost worker, once for all who have found out."""
        if self.workers.get(name) is worker:
            del self.workers[name]
            self.lost += 1
            self.tell(f"{_briefly(error)}; it is replaced, and its work goes to another")
            self._give_up(self._fleet.lost(name))
            self._refill(name, worker)
            self._start()
        if name in self._healing:
            await asyncio.shield(self._healing[name])

    async def join(self, name: str, worker: Any, told: str = "has joined") -> None:
        """Have a worker sample that is ready, once it serves the newest version.

        Raises:
            RunError: it cannot be given the weights, or does not serve them.
        """
        assert self.replacing is not None, "who gives it the weights"
        async with self._weights:
            version = await self.replacing.load(name, worker)
            self.workers[name] = worker
            self._fleet.joined(name, version)
        self.tell(f"{name} {told}, with version {version}")
        self._start()

    async def leave(self, name: str, comes_back: bool) -> Any:
        """Go on without a worker, whose work goes to others; returns its handle, or None where it is lost already.

        One that comes back is replaced as a lost one is, and then samples again.
        """
        async with self._weights:  # a publication must not wait for who is not there any more
            if name not in self.workers:
                return None
            self._fleet.left(name)
            worker = self.workers.pop(name)
        if comes_back:
            self._refill(name, worker)
        self._start()
        return worker

    @property
    def expected(self) -> int:
        """Workers that are there, and those that are being replaced."""
        return len(self.workers) + len(self._healing)

    def _refill(self, name: str, lost: Any) -> None:
        self._healing[name] = asyncio.create_task(self._fill(name, lost))
        self._healing[name].add_done_callback(lambda _: self._healing.pop(name))

    async def _fill(self, name: str, lost: Any) -> None:
        assert self.replacing is not None, "nobody is healed without"
        problem: Exception | None = None
        for _ in range(TRIES):
            try:
                return await self.join(name, await self.replacing.start(name, lost), "is back")
            except Exception as error:  # whatever it is: those who wait would wait for ever if nobody told them
                problem = error
        assert problem is not None, "it was tried"
        left = len(self.workers) + len(self._healing) - 1
        self.tell(f"{name} does not come back ({_briefly(problem)}); {left} rollout worker(s) are left")
        if left < self.minimum:
            self._ended = RunError(
                f"{left} rollout worker(s) are left, and cluster.rollout.min is {self.minimum}: {problem}"
            )
            self._fail(list(self._results), self._ended)

    def _give_up(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            request = self._requests[number]
            self._poison.add(request.prompt.id)
            self.tell(
                f"prompt {request.prompt.id}: {PATIENCE} workers died when they sampled nothing else; it is set aside,"
                " and its group has failed"
            )
            self._settle(number, self._nothing(request))

    def _nothing(self, request: SampleRequest) -> Sampled:
        return Sampled(np.empty(0, np.int32), (Rollout.lost(self._fleet.version),) * len(request.seeds))

    def _settle(self, number: int, sampled: Sampled) -> None:
        if not self._results[number].done():  # who waited may have been cancelled, and not have said so yet
            self._results[number].set_result(sampled)

    def _fail(self, numbers: Iterable[int], error: Exception) -> None:
        for number in numbers:
            if not self._results[number].done():
                self._results[number].set_exception(error)


def _briefly(error: Exception) -> str:
    """Its first sentence: Ray's errors have many."""
    return str(error).partition(". ")[0]
