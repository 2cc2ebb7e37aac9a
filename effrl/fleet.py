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
"""Workers that a lease may lose; then its requests are leased one by one, to workers that sample nothing else, and one
that loses as many alone is given up."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Requests that one worker samples together, in this order."""

    number: int
    requests: tuple[int, ...]
    losses: int = 0
    """Workers that were lost while they held it."""
    alone: bool = False
    """Whether its worker may hold nothing else: then it is known what a loss is due to."""


@dataclass
class Fleet:
    """Leases, the workers that hold them, and the policy version that counts."""

    shares: int
    """Leases that a batch of requests is cut into. It is fixed: who happens to be there must not change any batch."""
    room: int = 1
    """Leases that a worker may hold at a time. With 1, what it samples together is one lease, and so always the same;
    with more, short requests need not wait for the longest of a lease."""
    version: int = 0
    """The newest that was published; a worker that serves another one gets no lease."""
    _serves: dict[str, int] = field(default_factory=dict)
    """Version of each worker, in the order in which they joined."""
    _held: dict[str, list[Lease]] = field(default_factory=dict)
    """By worker."""
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
        self._held[worker] = []

    def published(self, version: int) -> None:
        """Every worker that is there has confirmed a version."""
        self.version = version
        self._serves = dict.fromkeys(self._serves, version)

    def ask(self, amount: int) -> list[int]:
        """Number so many requests, and put them up for lease: the first, the second, … of each share in turn."""
        numbers = [next(self._numbers) for _ in range(amount)]
        shares = [tuple(numbers[place :: self.shares]) for place in range(min(self.shares, amount))]
        alone = self.room == 1
        self._waiting.extend(Lease(next(self._numbers), share, alone=alone) for share in shares)
        self._open.update(numbers)
        return numbers

    def hand_out(self) -> list[tuple[str, Lease]]:
        """Give waiting leases to workers that have room, oldest first; returns what is to be started now.

        The oldest is never overtaken: one that must be alone would wait for ever where all are kept busy.
        """
        started = []
        while self._waiting and (worker := self._place(self._waiting[0])) is not None:
            lease = self._waiting.popleft()
            self._held[worker].append(lease)
            started.append((worker, lease))
        return started

    def _place(self, lease: Lease) -> str | None:
        """Who takes a lease: of those that may, the one that holds the fewest.

        Who holds a lease that must be alone holds no other, so that the first one tells.
        """
        room = 1 if lease.alone else self.room
        free = {
            name: len(held)
            for name, held in self._held.items()
            if self._serves[name] == self.version and len(held) < room and not (held and held[0].alone)
        }
        return min(free, key=free.__getitem__, default=None)

    def done(self, worker: str, lease: Lease) -> Sequence[int]:
        """A worker has sampled a lease; returns the requests that this settles.

        None where somebody else has the lease by now, since this worker was taken for lost.
        """
        if lease not in self._held.get(worker, ()):
            return ()
        self._held[worker].remove(lease)
        settled = [number for number in lease.requests if number in self._open]
        self._open.difference_update(settled)
        return settled

    def lost(self, worker: str) -> Sequence[int]:
        """A worker is gone, and its leases are up again; returns the requests that are given up.

        A request that has lost :data:`PATIENCE` workers alone is taken to be what kills them.
        """
        self._serves.pop(worker, None)
        held = self._held.pop(worker, [])
        given_up = [number for lease in reversed(held) for number in self._returned(lease)]
        self._open.difference_update(given_up)
        return given_up

    def left(self, worker: str) -> None:
        """A worker goes that has done nothing wrong: its leases are up again as they are, before all others."""
        del self._serves[worker]
        given_back = [lease for lease in map(self._wanted, self._held.pop(worker)) if lease.requests]
        self._waiting.extendleft(reversed(given_back))

    def _returned(self, held: Lease) -> Sequence[int]:
        """Put up the lease of a lost worker once more, before all others; returns the requests that are given up."""
        lease = self._wanted(replace(held, losses=held.losses + 1))
        if lease.losses < PATIENCE:
            self._waiting.extendleft([lease] if lease.requests else [])
        elif lease.alone and len(lease.requests) == 1:
            return lease.requests
        else:
            apart = (Lease(next(self._numbers), (number,), alone=True) for number in reversed(lease.requests))
            self._waiting.extendleft(apart)
        return ()

    def withdraw(self, requests: Collection[int]) -> list[tuple[str, Lease]]:
        """Nobody waits for these any more: what is not begun is not begun.

        Returns:
            Who holds which lease of these, of which nobody wants anything by now: it may end it.
        """
        withdrawn = self._open.intersection(requests)
        if not withdrawn:  # so it is after every request that was settled; all leases are many
            return []
        self._open -= withdrawn
        self._waiting = deque(lease for lease in map(self._wanted, self._waiting) if lease.requests)
        held = [(worker, lease) for worker, leases in self._held.items() for lease in leases]
        touched = [(worker, lease) for worker, lease in held if not withdrawn.isdisjoint(lease.requests)]
        return [(worker, lease) for worker, lease in touched if self._open.isdisjoint(lease.requests)]

    def _wanted(self, lease: Lease) -> Lease:
        """What is left of a lease; another set of requests has lost nobody yet."""
        left = tuple(number for number in lease.requests if number in self._open)
        return lease if left == lease.requests else Lease(lease.number, left, alone=lease.alone)
