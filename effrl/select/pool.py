"""What all selectors of one pool share: the prompts, their places, and calls that ask for more than there are."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from effrl.types import Observation, Prompt


class PoolSelector(ABC):
    """A :class:`~effrl.protocols.Selector` over one pool of prompts."""

    def __init__(self, prompts: Sequence[Prompt], seed: int) -> None:
        """Start without draws.

        Raises:
            ValueError: there are no prompts, or two of them share an id.
        """
        if not prompts:
            raise ValueError("a selector needs at least one prompt")
        self.prompts = tuple(prompts)
        self.index = {prompt.id: index for index, prompt in enumerate(self.prompts)}
        if len(self.index) < len(self.prompts):
            raise ValueError("prompt ids must be unique")
        self._seed = seed

    def select(self, count: int) -> list[Prompt]:
        """The next ``count`` prompts; none of them twice, unless there are fewer than ``count``.

        Raises:
            ValueError: ``count`` is negative.
        """
        if count < 0:
            raise ValueError(f"cannot select {count} prompts")
        chosen: list[int] = []
        while len(chosen) < count:
            chosen += self.draw(min(count - len(chosen), len(self.prompts)))
        return [self.prompts[index] for index in chosen]

    def of_pool(self, seen: Iterable[Observation]) -> list[Observation]:
        """Those that say something here: of prompts of this pool, with a scored rollout at least."""
        return [entry for entry in seen if entry.prompt.id in self.index and entry.tries > 0]

    def must_know(self, prompt_ids: Iterable[str]) -> None:
        """Raises ValueError where one of the prompts is not of this pool."""
        if not self.index.keys() >= {*prompt_ids}:
            raise another_source()

    @abstractmethod
    def draw(self, count: int) -> list[int]:
        """Indices of the next ``count`` prompts, all different; ``count`` is at most the pool's size."""

    @abstractmethod
    def observe(self, seen: Sequence[Observation]) -> None:
        """Take note of a step's outcomes."""

    @abstractmethod
    def state(self) -> Mapping[str, Any]:
        """What :meth:`restore` needs to go on from here; JSON-serialisable."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state of a selector with the same prompts and seed.

        Raises:
            ValueError: the state cannot belong to these prompts.
        """


def another_source() -> ValueError:
    """What to raise where a saved state does not belong to the prompts at hand."""
    return ValueError("the selector's state is of another data source: resume with the data of the first start")
