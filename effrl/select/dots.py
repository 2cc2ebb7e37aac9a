"""DOTS: predict every prompt's difficulty from a small reference set, and draw prompts near one half.

A selection round lasts ``steps`` training steps. At its beginning a fresh reference set is rolled out with the policy
of the moment; its pass rates tell the predictor what this policy finds hard.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from effrl.protocols import Look
from effrl.seeds import derive
from effrl.select.gumbel import Float64, keys
from effrl.select.ranked import RankedSelector
from effrl.types import Observation, Prompt

Predict = Callable[[Sequence[int], Sequence[float]], Float64]
"""From indices of reference prompts and their pass rates to [N] pass rates of all prompts."""


class DotsSelector(RankedSelector):
    """A :class:`~effrl.protocols.Selector` that must be told the pass rates of its references.

    It looks ahead (:class:`~effrl.protocols.LooksAhead`) where a round begins: at the pass rates of its references.
    Until they are told, and in between, prompts are drawn by what was measured last; before the first measurement,
    uniformly. A prompt comes at most once in a round, as long as there are others.

    The first call of a round draws for all its steps and shuffles, so that no step gets the ones nearest to the target
    and leaves the rest to the next (DOTS, arXiv 2506.05316, and its released code).
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        seed: int,
        predict: Predict,
        reference: int = 256,
        steps: int = 2,
        target: float = 0.5,
        temperature: float = 1e-3,
    ) -> None:
        """Nothing is measured.

        Args:
            prompts: the pool.
            seed: root of the selector's streams.
            predict: predictor over the same prompts in the same order.
            reference: prompts of a reference set, at most all.
            steps: training steps of a round.
            target: difficulty (share of rollouts that fail) to draw near.
            temperature: of the draw, in units of difficulty.

        Raises:
            ValueError: there are no prompts, or two of them share an id.
        """
        super().__init__(prompts, seed)
        self._predict, self._reference, self._steps = predict, reference, steps
        self._target, self._temperature = target, temperature
        self._rates: dict[str, float] = {}
        self._round: int | None = None
        self._drawn: dict[int, None] = {}
        self._queue: list[int] = []
        self._difficulty: Float64 | None = None

    def look(self, step: int) -> Look | None:
        """The references of the round that begins with ``step`` (from 1 on); None while a round lasts.

        Drawn uniformly without replacement, whatever was drawn before.
        """
        if self._round == self._round_of(step):
            return None
        random = np.random.default_rng(derive(self._seed, "reference", self._round_of(step)))
        count = min(self._reference, len(self.prompts))
        chosen = random.choice(len(self.prompts), count, replace=False)
        return Look(tuple(self.prompts[index] for index in chosen), "pass_rate")

    def saw(self, step: int, found: Mapping[str, float]) -> None:
        """Begin the round of ``step`` with the pass rates of its references; without any, with those of the last."""
        self._rates = {prompt_id: rate for prompt_id, rate in found.items() if prompt_id in self.index} or self._rates
        self._begin(self._round_of(step))

    def metrics(self) -> Mapping[str, float]:
        """Nothing yet."""
        return {}

    @property
    def difficulty(self) -> Float64:
        """[N] predicted share of failing rollouts; the target for all before anything is measured."""
        if self._difficulty is None:
            self._difficulty = self._predicted()
        return self._difficulty

    def draw(self, count: int) -> list[int]:
        """``count`` prompts from what the round has drawn already; then, for refills, from the rest."""
        if not self._drawn:
            self._queue = self._sample(min(count * self._steps, len(self.prompts)))
            np.random.default_rng(derive(self._seed, "shuffle", self._draws)).shuffle(self._queue)
        chosen, self._queue = self._queue[:count], self._queue[count:]
        while len(chosen) < count:
            chosen += self._sample(count - len(chosen), chosen)
        return chosen

    def keys(self, random: np.random.Generator) -> Float64:
        """Of prompts that the round has drawn, infinite."""
        found = keys(self.difficulty, self._target, self._temperature, random)
        found[list(self._drawn)] = np.inf
        return found

    def learn(self, index: int, seen: Observation) -> None:
        """Outcomes of training change nothing here: the references measure the policy, at one moment."""

    def known(self) -> dict[str, Any]:
        """Rates of the references, by prompt id."""
        return dict(self._rates)

    def recall(self, known: Mapping[str, float]) -> None:
        self._rates = dict(known)

    def state(self) -> Mapping[str, Any]:
        """References and their rates, the round, and what it has drawn (a few steps' prompts)."""
        return {
            **super().state(),
            "round": self._round,
            "drawn": [self.prompts[index].id for index in self._drawn],
            "queue": [self.prompts[index].id for index in self._queue],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state of a selector with the same prompts, predictor and seed.

        Raises:
            ValueError: the state cannot belong to these prompts.
        """
        self.must_know(state["drawn"])
        super().restore(state)
        self._begin(state["round"])
        self._drawn = dict.fromkeys(self.index[prompt_id] for prompt_id in state["drawn"])
        self._queue = [self.index[prompt_id] for prompt_id in state["queue"]]

    def _begin(self, number: int | None) -> None:
        self._round = number
        self._drawn, self._queue = {}, []
        self._difficulty = None

    def _round_of(self, step: int) -> int:
        return (step - 1) // self._steps

    def _predicted(self) -> Float64:
        if not self._rates:
            return np.full(len(self.prompts), self._target)
        return 1.0 - self._predict([self.index[prompt_id] for prompt_id in self._rates], list(self._rates.values()))

    def _sample(self, count: int, but: Collection[int] = ()) -> list[int]:
        """At most ``count`` prompts that the round has not drawn; once it has drawn all, any not in ``but`` can."""
        if len(self._drawn) == len(self.prompts):
            self._drawn = dict.fromkeys(but)
        chosen = super().draw(min(count, len(self.prompts) - len(self._drawn)))
        self._drawn.update(dict.fromkeys(chosen))
        return chosen
