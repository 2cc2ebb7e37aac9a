"""Posterior sampling: the pass rate of each prompt has a Beta posterior, and a draw from it ranks the prompt."""

from collections.abc import Mapping, Sequence

import numpy as np

from effrl.select.ranked import RankedSelector
from effrl.types import Float64, Observation, Prompt


class ThompsonSelector(RankedSelector):
    """Draws one pass rate from each prompt's posterior, and takes the prompts whose draw is nearest to ``target``.

    Model predictive prompt selection (MoPPS, arXiv 2507.04632): the prior is Beta(prior, prior); an observation fades
    what was known towards the prior, since the policy moves, and adds its passes and failures. What is uncertain
    spreads widely, so it is explored; a prompt that is surely solved is left alone.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int, target: float, prior: float, memory: float) -> None:
        """Every posterior is the prior.

        Args:
            target: pass rate that prompts should have.
            prior: pseudo-counts of passes and of failures.
            memory: share of what was known that outlives an observation; 1 forgets nothing.

        Raises:
            ValueError: there are no prompts, or two of them share an id.
        """
        super().__init__(prompts, seed)
        self._target, self._prior, self._memory = target, prior, memory
        self._posterior = np.full((len(prompts), 2), prior)

    def keys(self, random: np.random.Generator) -> Float64:
        rates = random.beta(self._posterior[:, 0], self._posterior[:, 1])
        return np.asarray(np.abs(rates - self._target))

    def learn(self, index: int, seen: Observation) -> None:
        counts = np.array([seen.passes, seen.tries - seen.passes])
        faded = self._memory * self._posterior[index] + (1 - self._memory) * self._prior
        self._posterior[index] = faded + counts

    def known(self) -> dict[str, list[float]]:
        told = np.flatnonzero((self._posterior != self._prior).any(1))
        return {self.prompts[index].id: self._posterior[index].tolist() for index in told}

    def recall(self, known: Mapping[str, Sequence[float]]) -> None:
        self._posterior[:] = self._prior
        for prompt_id, counts in known.items():
            self._posterior[self.index[prompt_id]] = counts
