"""The thread of an engine: who samples does not hold up who gives orders, and nobody waits for ever."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Event, current_thread
from typing import Any, cast

import pytest

from actors.rollout.thread import EngineThread


@dataclass
class Engine:
    """Finishes each request after as many steps as its name says, and writes down what happens."""

    events: list[str] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    may_step: Event = field(default_factory=Event)
    breaks: bool = False
    threads: set[str] = field(default_factory=set)

    def submit(self, *names: str) -> Callable[[Any], None]:
        def submit(engine: Any) -> None:
            self.events.append(f"submit {' '.join(names)}")
            self.left |= {name: int(name[-1]) for name in names}

        return submit

    def step(self) -> dict[str, str]:
        self.may_step.wait(5)
        self.threads.add(current_thread().name)
        if self.breaks:
            raise RuntimeError("out of memory")
        self.events.append("step")
        self.left = {name: steps - 1 for name, steps in self.left.items()}
        finished = {name: f"output of {name}" for name, steps in self.left.items() if steps == 0}
        self.left = {name: steps for name, steps in self.left.items() if steps}
        return finished

    def abort(self, names: Iterable[str]) -> None:
        for name in names:
            self.left.pop(name, None)


def started(**changes: Any) -> tuple[Engine, EngineThread]:
    engine = Engine(**changes)
    return engine, EngineThread(lambda: cast(Any, engine))


async def sampled(engine: Engine, thread: EngineThread, *names: str) -> dict[str, Any]:
    return await asyncio.wait_for(thread.sample(names, engine.submit(*names)), 5)


async def test_all_of_one_call_are_submitted_before_a_step() -> None:
    engine, thread = started()
    engine.may_step.set()
    assert await sampled(engine, thread, "a1", "b3") == {"a1": "output of a1", "b3": "output of b3"}
    assert engine.events == ["submit a1 b3", "step", "step", "step"] and engine.threads == {"engine"}


async def test_short_requests_do_not_wait_for_long_ones_and_join_them() -> None:
    engine, thread = started()
    long, short = asyncio.ensure_future(sampled(engine, thread, "a9")), sampled(engine, thread, "b1")
    await asyncio.sleep(0.01)
    shorter = asyncio.ensure_future(short)
    await asyncio.sleep(0.01)
    engine.may_step.set()
    assert await shorter == {"b1": "output of b1"}
    assert await long == {"a9": "output of a9"}
    assert engine.events.count("step") <= 10, "they were sampled side by side"


async def test_orders_are_served_between_two_steps() -> None:
    engine, thread = started()
    sampling = asyncio.ensure_future(sampled(engine, thread, "a9"))
    await asyncio.sleep(0.01)
    loading = asyncio.ensure_future(thread.order(lambda known: engine.events.append("load") or 7))
    await asyncio.sleep(0.01)
    engine.may_step.set()
    assert await asyncio.wait_for(loading, 5) == 7
    await sampling
    assert engine.events[:3] == ["submit a9", "step", "load"], "not after the last step"


async def test_what_an_order_raises_is_raised_where_it_was_given_and_the_thread_goes_on() -> None:
    engine, thread = started()
    engine.may_step.set()
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(thread.order(lambda known: 1 / 0), 5)
    assert await sampled(engine, thread, "a1") == {"a1": "output of a1"}


async def test_who_waits_for_a_broken_engine_is_told() -> None:
    engine, thread = started(breaks=True)
    engine.may_step.set()
    with pytest.raises(RuntimeError, match="out of memory"):
        await sampled(engine, thread, "a1")


async def test_a_request_that_is_refused_takes_nothing_with_it() -> None:
    engine, thread = started()

    def refuses(known: Any) -> None:
        engine.submit("c5")(known)
        raise ValueError("too long")

    with pytest.raises(ValueError, match="too long"):
        await asyncio.wait_for(thread.sample(["c5", "d5"], refuses), 5)
    engine.may_step.set()
    assert await sampled(engine, thread, "a1") == {"a1": "output of a1"}
    assert "c5" not in engine.left, "what was submitted of it is aborted"


async def test_who_waits_for_aborted_requests_gets_the_others() -> None:
    engine, thread = started()
    some = asyncio.ensure_future(sampled(engine, thread, "a1", "b9"))
    none = asyncio.ensure_future(sampled(engine, thread, "c9"))
    await asyncio.sleep(0.01)
    aborting = asyncio.ensure_future(thread.abort(["b9", "c9", "unknown"]))
    await asyncio.sleep(0.01)
    engine.may_step.set()
    await asyncio.wait_for(aborting, 5)
    assert await some == {"a1": "output of a1"} and await none == {}
    assert engine.left == {}


def test_an_engine_that_cannot_be_made_is_told_at_once() -> None:
    def fails() -> Any:
        raise RuntimeError("no such model")

    with pytest.raises(RuntimeError, match="no such model"):
        EngineThread(fails)
