"""Selection from easy to hard, by a difficulty that the data brings along."""

from collections.abc import Sequence

import numpy as np

from effrl.columns import difficulty_of
from effrl.config.data import DataConfig
from effrl.data.reader import read
from effrl.seeds import derive
from effrl.select.ranked import TurnSelector
from effrl.types import Float64, Observation, Prompt


class CurriculumSelector(TurnSelector):
    """Opens the pool from its easiest prompts to its hardest; within the open part, who had the fewest turns is next.

    The open part grows with the number of prompts drawn, from one draw's own size to the whole pool after ``grow``
    prompts; from then on every prompt comes once per epoch. Prompts of one difficulty open in a random order.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int, column: str, grow: int) -> None:
        """Only the easiest prompts are open.

        Args:
            column: key of the prompts' ``meta`` whose number is their difficulty.
            grow: draws after which all prompts are open.

        Raises:
            ValueError: there are no prompts, or two of them share an id.
            UserError: a prompt has no number there.
        """
        super().__init__(prompts, seed)
        difficulty = np.array([difficulty_of(prompt, column, "select.column") for prompt in self.prompts])
        self._order = np.empty(len(prompts), np.int64)
        shuffled = np.random.default_rng(derive(seed, "curriculum")).permutation(len(prompts))
        self._order[shuffled[np.argsort(difficulty[shuffled], kind="stable")]] = np.arange(len(prompts))
        self._grow = grow

    def keys(self, random: np.random.Generator) -> Float64:
        """Turns of the open prompts; the closed ones follow, the easiest first, so that any draw is filled."""
        given = int(self.turns.sum())
        opened = len(self.prompts) * min(1.0, given / self._grow)
        turns = super().keys(random)
        return np.where(self._order < opened, turns, turns.max() + 1 + self._order)

    def learn(self, index: int, seen: Observation) -> None:
        """Outcomes change nothing here: the difficulty is given."""


def check_curriculum(data: DataConfig, column: str, field: str = "select.column") -> None:
    """See before anything is started that every prompt has a number in the column; raises as :func:`difficulty_of`."""
    for row in read(data.train, data.form):
        difficulty_of(row.prompt, column, field)
