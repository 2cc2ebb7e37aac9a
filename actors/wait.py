"""The only place that waits for actors: every wait has a deadline, and says whom and what it waits for."""

import asyncio
import re
from collections.abc import Coroutine, Mapping
from contextlib import nullcontext
from contextvars import ContextVar
from typing import Any

import ray
from ray.exceptions import (
    ActorUnschedulableError,
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from effrl.errors import DeadlineError, RunError, UserError
from effrl.run.timeline import Timeline

TIMELINE: ContextVar[Timeline] = ContextVar("TIMELINE")
"""Where the waits of a task, and of those that it starts, are recorded; nothing is where nobody has set it.

The driver sets it for its run. Handed from hand to hand, it would be an argument of everything that calls an actor.
"""


class WorkerError(RunError):
    """An actor raised or died; ``role`` names it, so that the end of its log can be shown."""

    def __init__(self, message: str, role: str) -> None:
        super().__init__(message)
        self.role = role


class LostError(WorkerError):
    """An actor's process or node is gone, and with it what it was to answer: another may do the work."""


LOSSES = (
    RayActorError,
    ObjectLostError,
    WorkerCrashedError,
    NodeDiedError,
    LocalRayletDiedError,
    ActorUnschedulableError,
)
"""How Ray says so: of the process, of an answer that was on its node, of the node, and of a place on a node that is
gone."""


async def answer(ref: ray.ObjectRef, seconds: float, what: str, role: str) -> Any:
    """The value of ``ref``.

    Raises:
        DeadlineError: it did not come within ``seconds``.
        LostError: the actor's process is gone.
        WorkerError: the actor raised.
        UserError: the actor found a mistake that the user can mend.
    """
    timeline = TIMELINE.get(None)
    try:
        with timeline.span(role, what) if timeline else nullcontext():
            return await asyncio.wait_for(asyncio.wrap_future(ref.future()), seconds)
    except TimeoutError as error:
        raise DeadlineError(f"waited {seconds:.0f} s in vain for {what} of {role}") from error
    except RayTaskError as error:
        raise _translated(error, what, role) from error
    except LOSSES as error:
        raise LostError(f"{role} died during {what}: {last_line(error)}", role) from error


async def answers(refs: Mapping[str, ray.ObjectRef], seconds: float, what: str) -> list[Any]:
    """The values of ``refs`` (by role) in order; the first failure ends the wait."""
    return await together(*(answer(ref, seconds, what, role) for role, ref in refs.items()))


async def together(*waits: Coroutine[Any, Any, Any]) -> list[Any]:
    """The results of waits that go on side by side; the first failure ends them all."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def _translated(error: RayTaskError, what: str, role: str) -> Exception:
    if isinstance(error.cause, UserError):
        return error.cause
    if isinstance(error.cause, RunError):
        return WorkerError(str(error.cause), role)
    return WorkerError(f"{role} failed in {what}: {last_line(error)}", role)


def last_line(error: Exception) -> str:
    """The line of a traceback that says what was wrong: the last one that names an error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip(" ^~")]
    named = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Exit)\b", line)]
    return (named or lines)[-1]
