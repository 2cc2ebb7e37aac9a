"""Every wait for an actor is a span of the driver's timeline."""

import asyncio
from typing import Any

import pytest

from actors.wait import TIMELINE, WorkerError, answer, answers
from effrl.run.timeline import Span, Timeline
from tests.unit.actors.fake_actor import Ref


async def waits() -> None:
    calls: dict[str, Any] = {"rollout-0": Ref(1), "rollout-1": Ref(2)}
    assert await answers(calls, 5.0, "rollouts") == [1, 2]
    with pytest.raises(WorkerError):
        await answer(Ref(WorkerError("it died", "data")), 5.0, "selection", "data")  # type: ignore[arg-type]


async def test_waits_are_recorded_where_a_driver_has_asked_for_it() -> None:
    kept = list[Span]()
    timeline = Timeline(keep=kept.extend)

    async def run() -> None:
        TIMELINE.set(timeline)
        await asyncio.create_task(waits())

    await asyncio.create_task(run())
    await waits()  # another task: nobody has asked
    timeline.flush()
    assert sorted((span.role, span.name) for span in kept) == [
        ("data", "selection"),
        ("rollout-0", "rollouts"),
        ("rollout-1", "rollouts"),
    ]
