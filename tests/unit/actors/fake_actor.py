"""Calls of actors, answered at once in this process."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Ref:
    """What a call of an actor returns."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def future(self) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_exception(self.value) if isinstance(self.value, Exception) else done.set_result(self.value)
        return done


class Method:
    """``actor.method`` of a handle: calls are served in the order in which they come, as an actor does."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.remote = lambda *arguments: Ref(call(*arguments))


class Handle:
    """A handle of an actor in this process."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> Method:
        return Method(getattr(self.actor, name))
