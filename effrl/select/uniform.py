"""Uniform selection: every prompt once per epoch, in a seeded order. The baseline that every selector must beat."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
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
        chosen: dict[int, None] = {}
        waiting, self._deferred = self._deferred, deque()
        while len(chosen) < count:
            candidate = waiting.popleft() if waiting else self._next()
            if candidate in chosen or candidate in but:
                self._deferred.append(candidate)
            else:
                chosen[candidate] = None
        self._deferred.extend(waiting)
        return list(chosen)

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
