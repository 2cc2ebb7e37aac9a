"""Schedules of a fleet by the thousands: workers join, hang, die and come back, versions are published, requests are
asked for and withdrawn, in any order. After each event the books must agree with those of a naive observer."""

import random
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from effrl import fleet
from effrl.fleet import PATIENCE, Fleet, Lease

EVENTS = 50
SCHEDULES = 10_000


@dataclass
class Observer:
    """Plays a cluster by a random schedule, and writes down what it sees in the simplest way."""

    chance: random.Random
    fleet: Fleet
    poison: float = 0.0
    """Share of the requests that kill whoever samples them."""
    alive: dict[str, int] = field(default_factory=dict)
    """Version that each worker serves."""
    at_work: dict[str, list[Lease]] = field(default_factory=dict)
    orphaned: list[tuple[str, Lease]] = field(default_factory=list)
    """Leases of workers that were taken for lost, and may still report."""
    asked: set[int] = field(default_factory=set)
    deadly: set[int] = field(default_factory=set)
    withdrawn: set[int] = field(default_factory=set)
    settled: Counter[int] = field(default_factory=Counter)
    given_up: Counter[int] = field(default_factory=Counter)
    lost_alone: Counter[int] = field(default_factory=Counter)
    shared: Counter[int] = field(default_factory=Counter)
    """Losses while others were to blame as well."""
    losses: int = 0
    version: int = 0
    names: int = 0

    def join(self) -> None:
        worker = f"rollout-{self.names}"
        self.names += 1
        self.alive[worker] = self.version
        self.fleet.joined(worker, self.version)

    def join_late(self) -> None:
        """It has loaded a version that is old by now."""
        worker = f"rollout-{self.names}"
        self.names += 1
        self.fleet.joined(worker, self.version - 1)
        self.alive[worker] = self.version - 1

    def ask(self) -> None:
        numbers = self.fleet.ask(self.chance.randint(0, 7))
        assert self.asked.isdisjoint(numbers) and len(set(numbers)) == len(numbers), "a number is used twice"
        self.asked.update(numbers)
        self.deadly.update(number for number in numbers if self.chance.random() < self.poison)

    def finish(self) -> None:
        if not self.at_work:
            return
        worker = self.chance.choice(sorted(self.at_work))
        if self.deadly.intersection(number for lease in self.at_work[worker] for number in lease.requests):
            self.lose(worker)
            return
        lease = self.at_work[worker].pop(self.chance.randrange(len(self.at_work[worker])))
        if not self.at_work[worker]:
            del self.at_work[worker]
        settled = self.fleet.done(worker, lease)
        assert set(settled) == set(lease.requests) - self.withdrawn, "a result is lost, or nobody wanted it"
        self.settled.update(settled)

    def finish_late(self) -> None:
        if self.orphaned:
            worker, lease = self.orphaned.pop(self.chance.randrange(len(self.orphaned)))
            assert not self.fleet.done(worker, lease), "the result of a worker that was taken for lost counts"

    def lose_any(self) -> None:
        if self.alive:
            self.lose(self.chance.choice(sorted(self.alive)))

    def lose(self, worker: str) -> None:
        del self.alive[worker]
        leases = self.at_work.pop(worker, [])
        given_up = self.fleet.lost(worker)
        self.given_up.update(given_up)
        if not leases:
            assert not given_up
            return
        self.orphaned += [(worker, lease) for lease in leases]
        if self.fleet.room > 1:
            self.shared.update(number for lease in leases if not lease.alone for number in lease.requests)
        if len(leases) == 1 and len(leases[0].requests) == 1 and leases[0].alone:
            self.lost_alone.update(leases[0].requests)
        self.losses += 1

    def leave(self) -> None:
        """Somebody goes in peace, and may still report."""
        if self.alive:
            worker = self.chance.choice(sorted(self.alive))
            del self.alive[worker]
            self.fleet.left(worker)
            self.orphaned += [(worker, lease) for lease in self.at_work.pop(worker, [])]

    def withdraw(self) -> None:
        left = sorted(self.asked - self.withdrawn - set(self.settled) - set(self.given_up))
        some = self.chance.sample(left, min(len(left), self.chance.randint(0, 3)))
        useless = self.fleet.withdraw(some)
        self.withdrawn.update(some)
        held = [(worker, lease) for worker, leases in self.at_work.items() for lease in leases]
        gone = self.withdrawn | set(self.settled) | set(self.given_up)
        expected = [(worker, lease) for worker, lease in held if gone.issuperset(lease.requests)]
        expected = [(worker, lease) for worker, lease in expected if not set(some).isdisjoint(lease.requests)]
        assert sorted(useless, key=str) == sorted(expected, key=str), "what nobody wants goes on, or what somebody does"

    def publish(self) -> None:
        self.version += 1
        self.alive = dict.fromkeys(self.alive, self.version)
        self.fleet.published(self.version)

    def hand_out(self) -> None:
        for worker, lease in self.fleet.hand_out():
            assert worker in self.alive, "a lease for somebody who is not there"
            assert self.alive[worker] == self.version, "a lease for an old version"
            others = self.at_work.setdefault(worker, [])
            assert len(others) < self.fleet.room, "more leases than there is room for"
            assert not (others and lease.alone) and not any(other.alone for other in others), "it is not alone"
            current = [self.at_work.get(name, []) for name in self.alive if self.alive[name] == self.version]
            holds = [len(held) for held in current if not any(other.alone for other in held)]
            assert len(others) == min(holds), "another worker holds fewer"
            assert lease.requests and not self.withdrawn.intersection(lease.requests), "nobody waits for it"
            others.append(lease)

    def check(self) -> None:
        """What holds at any moment."""
        assert set(self.fleet.workers) == set(self.alive)
        ended = set(self.settled) | set(self.given_up)
        assert max([*self.settled.values(), *self.given_up.values()], default=1) == 1, "settled twice"
        assert not set(self.settled) & set(self.given_up)
        under_way = [number for leases in self.at_work.values() for lease in leases for number in lease.requests]
        assert len(under_way) == len(set(under_way)), "two workers sample the same request"
        assert not ended.intersection(under_way), "what is settled is sampled again"
        deadly = {number for number, losses in self.lost_alone.items() if losses >= PATIENCE}
        assert set(self.given_up) == deadly - self.withdrawn, "given up too soon, too late or with others to blame"
        assert all(self.shared[number] >= PATIENCE for number in self.lost_alone if self.fleet.room > 1), "never tried"
        idle = [worker for worker, version in self.alive.items() if worker not in self.at_work]
        current = [worker for worker in idle if self.alive[worker] == self.version]
        open_now = self.asked - ended - self.withdrawn - set(under_way)
        assert not (current and open_now), "somebody is idle, and there is work"

    def end(self) -> None:
        """Whoever comes in time: nothing is left over."""
        for _ in range(20 * len(self.asked) + 20):
            if not self.alive or all(version != self.version for version in self.alive.values()):
                self.join()
            self.hand_out()
            self.check()
            if not self.at_work:
                break
            self.finish()
        expected = self.asked - self.withdrawn
        assert expected <= set(self.settled) | set(self.given_up), "a request is forgotten"
        assert set(self.given_up) <= self.deadly | {n for n in self.asked if self.lost_alone[n] >= PATIENCE}
        assert not self.deadly & set(self.settled)


def play(seed: int, make: Callable[[int, int], Fleet] = Fleet) -> Observer:
    """One schedule of :data:`EVENTS` events, and its end."""
    chance = random.Random(seed)
    fleet_of_run = make(chance.randint(1, 4), chance.choice((1, 1, 3)))
    seen = Observer(chance, fleet_of_run, poison=chance.choice((0.0, 0.0, 0.1)))
    for _ in range(chance.randint(1, 4)):
        seen.join()
    events = (seen.join, seen.join_late, seen.publish, seen.withdraw, seen.lose_any, seen.finish_late, seen.leave)
    for _ in range(EVENTS):
        chance.choices((seen.ask, seen.finish, *events), (6, 8, 1, 1, 2, 1, 2, 2, 0.5))[0]()
        seen.hand_out()
        seen.check()
    seen.end()
    return seen


def test_whatever_happens_each_request_has_one_end() -> None:
    given_up, settled, withdrawn, lost = 0, 0, 0, 0
    for seed in range(SCHEDULES):
        seen = play(seed)
        given_up, settled = given_up + len(seen.given_up), settled + len(seen.settled)
        withdrawn, lost = withdrawn + len(seen.withdrawn), lost + seen.losses
    assert min(given_up, settled, withdrawn, lost) > 1000, "each of them was tried"


PLANTED = {
    "a lease for an old version": ("if self._serves[name] == self.version and ", "if "),
    "more leases than there is room for": ("and len(held) < room and", "and"),
    "who is alone gets company": (" and not (held and held[0].alone)", ""),
    "what is withdrawn goes on": ("        if not withdrawn:", "        if True:"),
    "who must be alone comes as company": ("room = 1 if lease.alone else self.room", "room = self.room"),
    "a suspect is not alone": ("(number,), alone=True)", "(number,))"),
    "leases of shared workers count as alone": ("alone = self.room == 1", "alone = True"),
    "the first worker gets all": (
        "min(free, key=free.__getitem__, default=None)",
        "next(iter(free), None)",
    ),
    "nobody holds what is handed out": ("self._held[worker].append(lease)", "pass"),
    "late results count": ("if lease not in self._held.get(worker, ()):", "if False:"),
    "a worker that is done stays busy": ("        self._held[worker].remove(lease)\n", ""),
    "what somebody wants is ended": ("if self._open.isdisjoint(lease.requests)]", "]"),
    "what nobody wants goes on": ("if not withdrawn.isdisjoint(lease.requests)]", "if False]"),
    "only one lease of a lost worker comes back": ("for lease in reversed(held) for", "for lease in held[:1] for"),
    "withdrawn requests are settled": (
        "[number for number in lease.requests if number in self._open]",
        "lease.requests",
    ),
    "who is lost is still there": ("self._serves.pop(worker, None)", "pass"),
    "a lost lease is forgotten": ("[lease] if lease.requests else []", "[]"),
    "who leaves is still there": ("del self._serves[worker]", "pass"),
    "who leaves takes its leases along": ("extendleft(reversed(given_back))", "extendleft([])"),
    "who leaves gives back what nobody wants": ("map(self._wanted, self._held.pop(worker))", "self._held.pop(worker)"),
    "who leaves is to blame": (
        "extendleft(reversed(given_back))",
        "extendleft(replace(each, losses=9) for each in given_back)",
    ),
    "an empty lease is put up": ("[lease] if lease.requests else []", "[lease]"),
    "given up too late": ("if lease.losses < PATIENCE:", "if lease.losses <= PATIENCE:"),
    "given up too soon": ("if lease.losses < PATIENCE:", "if lease.losses < 1:"),
    "losses are not counted": ("losses=held.losses + 1", "losses=held.losses"),
    "given up with others": ("lease.alone and len(lease.requests) == 1:", "lease.alone and len(lease.requests) < 3:"),
    "a request is lost by the cut": (
        "in reversed(lease.requests))",
        "in reversed(lease.requests[1:]))",
    ),
    "withdrawn requests are leased again": ("self._wanted(replace(held, ", "(replace(held, "),
    "blame is inherited": ("Lease(lease.number, left, alone", "Lease(lease.number, left, lease.losses, alone"),
    "workers stay at an old version": ("self._serves = dict.fromkeys(self._serves, version)", "pass"),
    "nobody knows what was published": ("self.version = version\n", "pass\n"),
    "a share is not put up": ("in range(min(self.shares, amount))", "in range(min(self.shares, amount) - 1)"),
    "a request is in two shares": ("numbers[place :: self.shares]", "numbers[place // 2 :: self.shares]"),
    "nobody waits for what is asked": ("self._open.update(numbers)", "pass"),
    "what is withdrawn stays up": ("self._waiting = deque(lease for lease in map", "deque(lease for lease in map"),
    "what is withdrawn is still wanted": ("self._open -= withdrawn", "pass"),
    "who joins is taken to be up to date": ("self._serves[worker] = version", "self._serves[worker] = self.version"),
    "numbers begin anew": ("[next(self._numbers) for _ in range(amount)]", "list(range(amount))"),
}


@pytest.mark.parametrize(("right", "wrong"), PLANTED.values(), ids=PLANTED)
def test_planted_bugs_are_found(right: str, wrong: str) -> None:
    source = Path(fleet.__file__).read_text()
    assert source.count(right) == 1, f"{right!r} is there no longer: plant it elsewhere"
    broken = ModuleType("broken")
    sys.modules[broken.__name__] = broken  # dataclasses look their module up
    exec(source.replace(right, wrong), vars(broken))
    with pytest.raises((AssertionError, IndexError, KeyError)):
        for seed in range(SCHEDULES):
            play(seed, broken.Fleet)


def test_a_lost_lease_goes_whole_to_another() -> None:
    found = Fleet(shares=2)
    found.joined("a", 0)
    found.joined("b", 0)
    found.ask(5)
    (a, first), (b, second) = found.hand_out()
    assert (a, first.requests, b, second.requests) == ("a", (0, 2, 4), "b", (1, 3))
    found.lost("a")
    assert found.hand_out() == [], "b is at work"
    assert found.done("b", second) == [1, 3]
    [(worker, again)] = found.hand_out()
    assert (worker, again.requests) == ("b", first.requests)
    assert found.done("b", again) == [0, 2, 4] and not found.done("a", first)


def test_a_request_that_kills_is_found_and_given_up() -> None:
    found, given_up, deaths, settled = Fleet(shares=1), [], 0, []
    found.joined("w0", 0)
    found.ask(8)
    while leases := found.hand_out():
        [(worker, lease)] = leases
        if 5 in lease.requests:
            given_up += found.lost(worker)
            deaths += 1
            found.joined(f"w{deaths}", 0)
        else:
            settled += found.done(worker, lease)
    assert given_up == [5] and deaths == 2 * PATIENCE and sorted(settled) == [0, 1, 2, 3, 4, 6, 7]
