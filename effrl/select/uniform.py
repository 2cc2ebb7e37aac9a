"""Uniform selection: every prompt once per epoch, in a seeded order. The baseline that every selector must beat."""

from collections import deque
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

from effrl.seeds import stream
from effrl.select.pool import PoolSelector, another_source
from effrl.types import Observation, Prompt


class UniformSelector(PoolSelector):
    """A :class:`~effrl.protocols.Selector` that visits every prompt once per epoch.

    The order of an epoch depends on the seed and the epoch's number alone. One exception: a call that ends an epoch
    does not draw its first prompts again from the next one. It defers them, and the next call starts with them, so
    that each epoch still is a permutation.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int) -> None:
        """Start at epoch 0.

        Raises:
            ValueError: there are no prompts, or two of them share an id.
        """
        super().__init__(prompts, seed)
        self._deferred: deque[int] = deque()
        self._enter(0)

    def observe(self, seen: Sequence[Observation]) -> None:
        """Outcomes change nothing here."""

    def state(self) -> Mapping[str, Any]:
        """Epoch, position in its order, and the ids of deferred prompts (fewer than one call selects)."""
        deferred = [self.prompts[index].id for index in self._deferred]
        return {"epoch": self._epoch, "position": self._position, "deferred": deferred}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.must_know(state["deferred"])
        if not 0 <= state["position"] <= len(self.prompts):
            raise another_source()
        self._enter(state["epoch"])
        self._position = state["position"]
        self._deferred = deque(self.index[prompt_id] for prompt_id in state["deferred"])

    def draw(self, count: int, but: Collection[int] = ()) -> list[int]:
        """``count`` different prompts, none of those in ``but``; so many must be left, or this would not end.

        What is passed over is drawn by the next call that may.
        """
        with closing(self.walk(but)) as offers:
            return list(islice(offers, count))

    def walk(self, but: Collection[int] = ()) -> Generator[int]:
        """Different prompts, none of those in ``but``, in order and from one epoch into the next.

        It ends once every prompt was offered. Close it: then what was passed over is kept for the next walk.
        """
        offered: set[int] = set()
        waiting, self._deferred = self._deferred, deque()
        try:
            while len(offered) < len(self.prompts) - len(but):
                candidate = waiting.popleft() if waiting else self._next()
                if candidate in offered or candidate in but:
                    self._deferred.append(candidate)
                else:
                    offered.add(candidate)
                    yield candidate
        finally:
            self._deferred.extend(waiting)

    @property
    def epoch(self) -> int:
        """Of the prompt that comes next, but for one that was passed over; from 0."""
        return self._epoch

    def _next(self) -> int:
        if self._position == len(self._order):
            self._enter(self._epoch + 1)
        self._position += 1
        candidate: int = self._order[self._position - 1]
        return candidate

    def _enter(self, epoch: int) -> None:
        self._epoch = epoch
        self._position = 0
        self._order = list(range(len(self.prompts)))
        stream(self._seed, "select", epoch).shuffle(self._order)
