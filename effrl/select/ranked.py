"""What selectors share that rank the whole pool anew at every draw, such as by what is known of each prompt."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrl.seeds import derive
from effrl.types import Observation, Prompt

Float64 = NDArray[np.float64]


class RankedSelector(ABC):
    """A :class:`~effrl.protocols.Selector` that draws the prompts with the smallest keys.

    Keys may be random. Each draw has a stream of its own, so that the number of draws is all the state that chance
    has. A draw costs one pass over the pool: at 100,000 prompts, milliseconds.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int) -> None:
        """Nothing is drawn yet.

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
        self._draws = 0

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

    def observe(self, seen: Sequence[Observation]) -> None:
        """Take note of outcomes; prompts of other pools and prompts without a scored rollout say nothing here."""
        for observation in seen:
            if observation.prompt.id in self.index and observation.tries > 0:
                self.learn(self.index[observation.prompt.id], observation)

    def state(self) -> Mapping[str, Any]:
        """Number of draws, and what is known of each prompt, by its id."""
        return {"draws": self._draws, "known": self.known()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state of a selector with the same prompts and seed.

        Raises:
            ValueError: the state cannot belong to these prompts.
        """
        self.must_know(state["known"])
        self._draws = state["draws"]
        self.recall(state["known"])

    def must_know(self, prompt_ids: Iterable[str]) -> None:
        """Raises ValueError where one of the prompts is not of this pool."""
        if not self.index.keys() >= {*prompt_ids}:
            raise ValueError("the selector's state is of another data source: resume with the data of the first start")

    @abstractmethod
    def keys(self, random: np.random.Generator) -> Float64:
        """[N] what to rank the prompts by, smallest first."""

    @abstractmethod
    def learn(self, index: int, seen: Observation) -> None:
        """Take note of one prompt's outcomes; ``seen.tries`` is positive."""

    @abstractmethod
    def known(self) -> dict[str, Any]:
        """What is known, by prompt id; JSON-serialisable, prompts of which nothing is known left out."""

    @abstractmethod
    def recall(self, known: Mapping[str, Any]) -> None:
        """Know this and nothing else."""

    def draw(self, count: int) -> list[int]:
        """Indices of the next ``count`` prompts, at most all of them."""
        self._draws += 1
        return smallest(self.keys(np.random.default_rng(derive(self._seed, "ranked", self._draws))), count)


class TurnSelector(RankedSelector):
    """Prompts take turns: whoever had the fewest comes next, equals in random order.

    Without anything else in the keys, every prompt comes once per epoch.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int) -> None:
        super().__init__(prompts, seed)
        self.turns = np.zeros(len(prompts), np.int64)

    def keys(self, random: np.random.Generator) -> Float64:
        """[N] turns taken, plus a fraction that orders equals."""
        return self.turns + random.random(len(self.turns))

    def draw(self, count: int) -> list[int]:
        chosen = super().draw(count)
        self.turns[chosen] += 1  # a draw never chooses a prompt twice
        return chosen

    def known(self) -> dict[str, int]:
        """Turns of the prompts that had one."""
        return {self.prompts[index].id: int(self.turns[index]) for index in np.flatnonzero(self.turns)}

    def recall(self, known: Mapping[str, int]) -> None:
        self.turns[:] = 0
        for prompt_id, turns in known.items():
            self.turns[self.index[prompt_id]] = turns


def smallest(keys: Float64, count: int) -> list[int]:
    """Indices of the ``count`` smallest keys, in ascending order of key; equal keys in order of index."""
    if count == 0:
        return []
    border = np.partition(keys, count - 1)[count - 1]
    candidates = np.flatnonzero(keys <= border)  # more than `count` only where keys tie at the border
    order = np.argsort(keys[candidates], kind="stable")
    return [int(index) for index in candidates[order[:count]]]
