"""Who samples what, while workers come, go and die: a state machine without a clock, a cluster or chance.

Requests are leased to workers, a share at a time. Whoever is lost gives its lease back, and the lease goes whole to
another: with the same requests in the same order, and so to the same rollouts. :mod:`actors.driver.sampler` performs
what is decided here.
"""

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

PATIENCE = 2
"""Workers that a lease may lose; then it is cut into its requests, and one that loses as many alone is given up."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Requests that one worker samples together, in this order."""

    number: int
    requests: tuple[int, ...]
    losses: int = 0
    """Workers that were lost while they held it."""


@dataclass
class Fleet:
    """Leases, the workers that hold them, and the policy version that counts."""

    shares: int
    """Leases that a batch of requests is cut into. It is fixed: who happens to be there must not change any batch."""
    version: int = 0
    """The newest that was published; a worker that serves another one gets no lease."""
    _serves: dict[str, int] = field(default_factory=dict)
    """Version of each worker, in the order in which they joined."""
    _held: dict[str, Lease] = field(default_factory=dict)
    """By worker; nobody holds more than one."""
    _waiting: deque[Lease] = field(default_factory=deque)
    _open: set[int] = field(default_factory=set)
    """Requests that somebody waits for."""
    _numbers: Any = field(default_factory=count)

    @property
    def workers(self) -> tuple[str, ...]:
        """Who is there."""
        return tuple(self._serves)

    def joined(self, worker: str, version: int) -> None:
        """Count on a worker, new or in the place of a lost one."""
        assert worker not in self._serves, f"{worker} is there already"
        self._serves[worker] = version

    def published(self, version: int) -> None:
        """Every worker that is there has confirmed a version."""
        self.version = version
        self._serves = dict.fromkeys(self._serves, version)

    def ask(self, amount: int) -> list[int]:
        """Number so many requests, and put them up for lease: the first, the second, … of each share in turn."""
        numbers = [next(self._numbers) for _ in range(amount)]
        shares = [tuple(numbers[place :: self.shares]) for place in range(self.shares)]
        self._waiting.extend(Lease(next(self._numbers), share) for share in shares if share)
        self._open.update(numbers)
        return numbers

    def hand_out(self) -> list[tuple[str, Lease]]:
        """Give waiting leases to idle workers, oldest first; returns what is to be started now."""
        idle = [name for name, version in self._serves.items() if version == self.version and name not in self._held]
        started = [(worker, self._waiting.popleft()) for worker in idle[: len(self._waiting)]]
        self._held.update(started)
        return started

    def done(self, worker: str, lease: Lease) -> Sequence[int]:
        """A worker has sampled a lease; returns the requests that this settles.

        None where somebody else has the lease by now, since this worker was taken for lost.
        """
        if self._held.get(worker) != lease:
            return ()
        del self._held[worker]
        settled = [number for number in lease.requests if number in self._open]
        self._open.difference_update(settled)
        return settled

    def lost(self, worker: str) -> Sequence[int]:
        """A worker is gone, and its lease is up again; returns the requests that are given up.

        A request that has lost :data:`PATIENCE` workers alone is taken to be what kills them.
        """
        self._serves.pop(worker, None)
        if worker not in self._held:
            return ()
        held = self._held.pop(worker)
        lease = self._wanted(replace(held, losses=held.losses + 1))
        if lease.losses < PATIENCE:
            self._waiting.extendleft([lease] if lease.requests else [])
            return ()
        if len(lease.requests) > 1:
            self._waiting.extendleft(Lease(next(self._numbers), (number,)) for number in reversed(lease.requests))
            return ()
        self._open.difference_update(lease.requests)
        return lease.requests

    def withdraw(self, requests: Collection[int]) -> None:
        """Nobody waits for these any more: who samples them goes on, and what is not begun is not begun."""
        self._open.difference_update(requests)
        self._waiting = deque(lease for lease in map(self._wanted, self._waiting) if lease.requests)

    def _wanted(self, lease: Lease) -> Lease:
        """What is left of a lease; another set of requests has lost nobody yet."""
        left = tuple(number for number in lease.requests if number in self._open)
        return lease if left == lease.requests else Lease(lease.number, left)
