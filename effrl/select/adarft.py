"""A target difficulty that follows the mean outcome: when the policy does well, harder prompts are next."""

from collections.abc import Mapping, Sequence
from math import fsum, tanh
from typing import Any

import numpy as np

from effrl.protocols import LookAhead
from effrl.select.pool import PoolSelector
from effrl.types import Float64, Observation, Prompt

LARGEST = 100.0
"""Difficulty of a prompt that is never solved; 0 is that of one that always is."""


class AdaRftSelector(PoolSelector):
    """A :class:`~effrl.protocols.Selector` that draws the prompts whose difficulty is nearest to a target.

    AdaRFT (arXiv 2504.05520, algorithm 1, and its released code): the target starts at 0, and after a step whose mean
    outcome is R it moves by ``step * tanh(sensitivity * (R - target))``, within [0, 100]. Equals are drawn in the order
    of the pool.

    Without difficulties it looks ahead (:class:`~effrl.protocols.LooksAhead`) once: a group of the policy of the first
    step says how hard each prompt is. Prompts of which nothing was found out are as hard as the mean of the others.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        seed: int,
        target: float,
        sensitivity: float,
        step: float,
        no_repeat: bool,
        difficulty: Float64 | None = None,
    ) -> None:
        """Start with the easiest.

        Args:
            target: mean outcome to keep to.
            sensitivity: how sharply the target follows.
            step: largest move of a step, in units of difficulty.
            no_repeat: draw no prompt twice before all were drawn; at a constant target the same ones come else.
            difficulty: [N] in [0, 100]; None to find out.

        Raises:
            ValueError: there are no prompts, or two of them share an id.
        """
        super().__init__(prompts, seed)
        self._goal, self._sensitivity, self._step, self._no_repeat = target, sensitivity, step, no_repeat
        self._given = difficulty
        self._measured: dict[str, float] = {}
        self._asked = difficulty is not None
        self._target = 0.0
        self._drawn: set[int] = set()

    @property
    def difficulty(self) -> Float64:
        """[N] in [0, 100]; the same for all before anything is known."""
        if self._given is not None:
            return self._given
        known = [*self._measured.values()]
        middle = fsum(known) / len(known) if known else LARGEST / 2
        return np.array([self._measured.get(prompt.id, middle) for prompt in self.prompts])

    def request(self, step: int) -> LookAhead | None:
        """The pass rates of all prompts, unless their difficulty is known."""
        return None if self._asked else LookAhead(self.prompts, "pass_rate")

    def receive(self, step: int, found: Mapping[str, float]) -> None:
        """Keep how hard prompts are; those of other pools say nothing here."""
        self._asked = True  # whatever was found: a whole pool is not rolled out twice
        self._measured |= {name: LARGEST * (1 - rate) for name, rate in found.items() if name in self.index}

    def draw(self, count: int) -> list[int]:
        distance = np.abs(self.difficulty - self._target)
        if self._no_repeat and len(self._drawn) == len(self.prompts):
            self._drawn.clear()
        distance[[*self._drawn]] = np.inf
        order = [int(index) for index in np.argsort(distance, kind="stable")]
        chosen = order[: min(count, len(self.prompts) - len(self._drawn))]
        if self._no_repeat:
            self._drawn |= {*chosen}
            if len(chosen) < count:  # the lap ended within this call, which draws no prompt twice
                self._drawn = {*chosen}
                more = self.draw(count - len(chosen))
                self._drawn = {*more}
                chosen += more
        return chosen

    def observe(self, seen: Sequence[Observation]) -> None:
        """Move the target by the mean outcome of the step's rollouts."""
        known = self.of_pool(seen)
        if known:
            outcome = sum(entry.passes for entry in known) / sum(entry.tries for entry in known)
            moved = self._target + self._step * tanh(self._sensitivity * (outcome - self._goal))
            self._target = min(LARGEST, max(0.0, moved))

    def metrics(self) -> Mapping[str, float]:
        """The target of the next draw."""
        return {"select/target_difficulty": self._target}

    def state(self) -> Mapping[str, Any]:
        """Target, what was measured, and which prompts this lap has drawn."""
        drawn = [self.prompts[index].id for index in sorted(self._drawn)]
        return {"target": self._target, "asked": self._asked, "measured": dict(self._measured), "drawn": drawn}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.must_know([*state["measured"], *state["drawn"]])
        self._target, self._asked, self._measured = state["target"], state["asked"], dict(state["measured"])
        self._drawn = {self.index[name] for name in state["drawn"]}
