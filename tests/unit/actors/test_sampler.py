"""Rollout workers that die, hang, come back and don't: every request has its rollouts, and nobody waits for ever."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from ray.exceptions import ActorDiedError

from actors.driver.sampler import TRIES, Sampler
from actors.rollout.sampling import Sampled, SampleRequest
from actors.wait import LostError, WorkerError, answer
from effrl.errors import RunError
from effrl.fleet import PATIENCE
from effrl.types import Prompt, Rollout


@dataclass
class Worker:
    """A rollout worker whose answers come when they are let go, or at once."""

    name: str
    events: list[str]
    dies_of: Callable[[Sequence[str]], bool] = lambda prompts: False
    hangs: bool = False
    version: int = 0
    dead: bool = False
    sample: Any = field(init=False)
    abort: Any = field(init=False)
    load: Any = field(init=False)
    render: Any = field(init=False)

    def __post_init__(self) -> None:
        self.sample = _Call(self._sample)
        self.abort = _Call(lambda lease: self._answer(self.events.append(f"{self.name} ends {lease.split('/')[1]}")))
        self.load = _Call(self._load)
        self.render = _Call(lambda prompts: self._answer(list(prompts)))

    def _sample(self, lease: str, requests: Sequence[SampleRequest]) -> "Future[Any]":
        prompts = [request.prompt.id for request in requests]
        self.events.append(f"{self.name} samples {' '.join(prompts)}")
        if self.hangs:
            return Future()
        self.dead = self.dead or self.dies_of(prompts)
        return self._answer([_sampled(request, self.version) for request in requests])

    def _load(self, version: int) -> "Future[Any]":
        self.version = version
        return self._answer(version)

    def _answer(self, value: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_exception(ActorDiedError()) if self.dead else future.set_result(value)
        return future


class _Call:
    def __init__(self, call: Callable[..., "Future[Any]"]) -> None:
        self.remote = lambda *arguments: _Ref(call(*arguments))


@dataclass
class _Ref:
    kept: "Future[Any]"

    def future(self) -> "Future[Any]":
        return self.kept


def _sampled(request: SampleRequest, version: int) -> Sampled:
    ids = np.array([request.seeds[0] % 50], np.int32)
    return Sampled(ids, (Rollout(ids, np.zeros(1, np.float32), "", "stop", version, version),) * len(request.seeds))


@dataclass
class Spares:
    """Brings workers back, where it can."""

    events: list[str]
    newest: int = 0
    fails: int = 0
    """Starts that go wrong first."""
    make: Callable[[str, list[str]], Worker] = Worker
    loads: Callable[[], Any] = lambda: None

    async def start(self, worker: str, lost: Any) -> Any:
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise LostError(f"{worker} died during start-up: out of memory", worker)
        return self.make(f"new {worker}", self.events)

    async def load(self, worker: str, handle: Any) -> int:
        version = self.newest
        self.loads()
        await answer(handle.load.remote(version), 5.0, "the receipt", worker)
        return version


def asked(*ids: str) -> list[SampleRequest]:
    return [SampleRequest(Prompt(name, "?"), (n, n + 100), 8, 1.0) for n, name in enumerate(ids)]


def fleet(events: list[str], spares: Spares | None, *names: str, wait_s: float = 5.0, minimum: int = 1) -> Sampler:
    workers = {name: Worker(name, events) for name in names}
    return Sampler(workers, wait_s, spares, minimum, tell=events.append)  # type: ignore[arg-type]


def seeds(sampled: Sequence[Sampled]) -> list[int]:
    return [int(entry.prompt_ids[0]) for entry in sampled]


async def test_shares_go_to_the_workers_in_turn() -> None:
    events: list[str] = []
    sampled = await fleet(events, None, "a", "b")(asked(*"pqrst"))
    assert seeds(sampled) == [0, 1, 2, 3, 4]
    assert events == ["a samples p r t", "b samples q s"]


@pytest.mark.parametrize("hangs", [False, True], ids=["dies", "hangs"])
async def test_the_share_of_a_lost_worker_goes_whole_to_another(hangs: bool) -> None:
    events: list[str] = []
    sampler = fleet(events, Spares(events), "a", "b", wait_s=0.2)
    sampler.workers["a"].dead, sampler.workers["a"].hangs = not hangs, hangs
    assert seeds(await sampler(asked(*"pqrst"))) == [0, 1, 2, 3, 4]
    again = [event for event in events if event.endswith("samples p r t")]
    assert len(again) == 2 and sampler.lost == 1
    await sampler._whole()
    assert list(sampler.workers) == ["b", "a"] and "a is back, with version 0" in events


async def test_one_worker_is_replaced_and_samples_the_same() -> None:
    events: list[str] = []
    workers: dict[str, Any] = {"a": Worker("a", events, version=3, dead=True)}
    sampler = Sampler(workers, 5.0, Spares(events, newest=3), version=3, tell=events.append)
    sampled = await sampler(asked(*"pq"))
    assert seeds(sampled) == [0, 1]
    assert events[-2:] == ["a is back, with version 3", "new a samples p q"]
    assert {rollout.version_min for entry in sampled for rollout in entry.rollouts} == {3}


async def test_a_call_to_all_is_made_again_once_the_lost_one_is_back() -> None:
    events: list[str] = []
    spares = Spares(events)
    sampler = fleet(events, spares, "a", "b")
    sampler.workers["b"].dead = True

    async def publish() -> list[int]:
        spares.newest = 1
        loading = {name: worker.load.remote(1) for name, worker in sampler.workers.items()}
        return [await answer(ref, 5.0, "the receipt", name) for name, ref in loading.items()]

    assert await sampler.publish(1, publish) == [1, 1]
    assert seeds(await sampler(asked(*"pq"))) == [0, 1]
    assert {event.split()[0] for event in events[-2:]} == {"a", "new"}


async def test_who_loads_while_a_version_is_published_serves_it_or_waits_for_it() -> None:
    """The replacement has the version before in its hands when the next one is published."""
    events: list[str] = []
    spares = Spares(events)
    sampler = fleet(events, spares, "a", "b")
    sampler.workers["a"].dead = True
    publishing: list[asyncio.Task[Any]] = []

    async def publish() -> None:
        spares.newest = 1
        for worker in sampler.workers.values():
            worker.load.remote(1)

    def begin() -> None:
        publishing.append(asyncio.create_task(sampler.publish(1, publish)))

    spares.loads = begin
    await sampler(asked(*"pqrs"))
    await sampler._whole()
    await asyncio.gather(*publishing)
    assert {worker.version for worker in sampler.workers.values()} == {1}
    sampled = await sampler(asked(*"pqrs"))
    assert {rollout.version_max for entry in sampled for rollout in entry.rollouts} == {1}


async def test_a_prompt_that_kills_is_set_aside_and_no_other() -> None:
    events: list[str] = []
    kills = lambda prompts: "r" in prompts  # noqa: E731
    spares = Spares(events, make=lambda name, told: Worker(name, told, kills))
    sampler = fleet(events, spares, "a")
    sampler.workers["a"].dies_of = kills
    sampled = await sampler(asked(*"pqrs"))
    assert [entry.rollouts[0].failed for entry in sampled] == [False, False, True, False]
    assert sampler.lost == 2 * PATIENCE
    assert any(event.startswith("prompt r: 2 workers died") for event in events)
    before = len(events)
    sampled = await sampler(asked(*"rp"))
    assert [entry.rollouts[0].failed for entry in sampled] == [True, False]
    assert [event for event in events[before:] if "samples" in event] == [
        f"{events[-1].split(' samples')[0]} samples p"
    ]


async def test_too_few_are_left() -> None:
    events: list[str] = []
    sampler = fleet(events, Spares(events, fails=TRIES), "a", "b", minimum=2)
    sampler.workers["a"].dead, sampler.workers["b"].hangs = True, True
    with pytest.raises(
        RunError, match=r"1 rollout worker\(s\) are left, and cluster.rollout.min is 2: .*out of memory"
    ):
        await sampler(asked(*"pq"))
    with pytest.raises(RunError, match="are left"):
        await sampler(asked("p"))


async def test_one_that_does_not_come_back_is_done_without() -> None:
    events: list[str] = []
    sampler = fleet(events, Spares(events, fails=TRIES), "a", "b")
    sampler.workers["a"].dead = True
    assert seeds(await sampler(asked(*"pqrs"))) == [0, 1, 2, 3]
    await sampler._whole()
    assert list(sampler.workers) == ["b"] and "1 rollout worker(s) are left" in events[-1]
    assert seeds(await sampler(asked(*"pq"))) == [0, 1]


async def test_what_a_worker_raises_is_no_loss() -> None:
    events: list[str] = []
    sampler = fleet(events, Spares(events), "a")

    def broken(lease: str, requests: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_exception(WorkerError("rollout-0 failed in rollouts: KeyError", "a"))
        return future

    sampler.workers["a"].sample = _Call(broken)
    with pytest.raises(WorkerError, match="KeyError"):
        await sampler(asked("p"))
    assert sampler.lost == 0


async def test_who_gives_up_at_once_leaves_no_worker_behind() -> None:
    """Cancelled between the moment in which a lease is given and the one in which its task begins."""
    events: list[str] = []
    sampler = fleet(events, None, "a")
    first = asyncio.create_task(sampler(asked("p")))
    asyncio.get_running_loop().call_soon(first.cancel)
    with pytest.raises(asyncio.CancelledError):
        await first
    assert seeds(await asyncio.wait_for(sampler(asked("q")), 5)) == [0]


async def test_who_joins_serves_the_newest_version_and_who_leaves_gives_its_work_back() -> None:
    events: list[str] = []
    spares = Spares(events, newest=4)
    sampler = Sampler({"a": Worker("a", events, hangs=True)}, 5.0, spares, version=4, tell=events.append)
    first = asyncio.create_task(sampler(asked(*"pq")))
    await asyncio.sleep(0.01)
    await sampler.join("b", Worker("b", events))
    left = await sampler.leave("a", comes_back=False)
    assert left.name == "a" and list(sampler.workers) == ["b"]
    assert seeds(await first) == [0, 1]
    assert events == ["a samples p q", "b has joined, with version 4", "b samples p q"]
    assert await sampler.leave("a", comes_back=False) is None and sampler.lost == 0, "it is no loss"


async def test_what_nobody_waits_for_is_ended_and_what_somebody_does_is_not() -> None:
    events: list[str] = []
    sampler = fleet(events, None, "a", "b")
    sampler.workers["a"].hangs = sampler.workers["b"].hangs = True
    first = asyncio.create_task(sampler(asked("p")))
    second = asyncio.create_task(sampler(asked("q")))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.wait([first])
    assert events == ["a samples p", "b samples q", "a ends 1"] and not second.done()
    second.cancel()


async def test_with_room_a_worker_samples_several_leases_and_loses_them_together() -> None:
    events: list[str] = []
    workers: dict[str, Any] = {name: Worker(name, events) for name in ("a", "b")}
    sampler = Sampler(workers, 5.0, Spares(events), room=3, tell=events.append)
    workers["a"].hangs = workers["b"].hangs = True
    waiting = [asyncio.create_task(sampler(asked(name))) for name in "pqrs"]
    await asyncio.sleep(0.01)
    assert events == ["a samples p", "b samples q", "a samples r", "b samples s"]
    workers["b"].hangs = False
    await sampler._heal("a", workers["a"], LostError("a died", "a"))
    again = [event for event in events if event.startswith(("b samples", "new a samples"))][2:]
    assert sorted(event[-1] for event in again) == ["p", "r"], "each once"
    for task in waiting:
        task.cancel()


async def test_who_gives_up_waiting_frees_the_rest() -> None:
    events: list[str] = []
    sampler = fleet(events, Spares(events), "a", wait_s=0.2)
    sampler.workers["a"].hangs = True
    first = asyncio.create_task(sampler(asked(*"pq")))
    second = asyncio.create_task(sampler(asked(*"rs")))
    await asyncio.sleep(0.01)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert seeds(await first) == [0, 1]
    assert not any("samples r" in event for event in events), "what is not begun is not begun"
