"""A Beta posterior of each prompt's pass rate, which fades as the policy moves."""

from collections.abc import Mapping, Sequence

import numpy as np

from effrl.select.ranked import RankedSelector
from effrl.types import Observation, Prompt


class PosteriorSelector(RankedSelector):
    """Keeps what observations say of each pass rate; only the keys are left to write.

    The prior is Beta(prior, prior); an observation fades what was known towards the prior, since the policy moves, and
    adds its passes and failures (MoPPS, arXiv 2507.04632).
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int, prior: float, memory: float) -> None:
        """Every posterior is the prior.

        Args:
            prompts: the pool.
            seed: root of the selector's streams.
            prior: pseudo-counts of passes and of failures.
            memory: share of what was known that outlives an observation; 1 forgets nothing.

        Raises:
            ValueError: there are no prompts, or two of them share an id.
        """
        super().__init__(prompts, seed)
        self._prior, self._memory = prior, memory
        self._posterior = np.full((len(prompts), 2), prior)
        """[N, 2] pseudo-counts of passes and of failures."""

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
