"""Posterior sampling: the pass rate of each prompt has a Beta posterior, and a draw from it ranks the prompt."""

from collections.abc import Sequence

import numpy as np

from effrl.select.posterior import PosteriorSelector
from effrl.types import Float64, Prompt


class ThompsonSelector(PosteriorSelector):
    """Draws one pass rate from each prompt's posterior, and takes the prompts whose draw is nearest to ``target``.

    Model predictive prompt selection (MoPPS, arXiv 2507.04632). What is uncertain spreads widely, so it is explored; a
    prompt that is surely solved is left alone.
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
        super().__init__(prompts, seed, prior, memory)
        self._target = target

    def keys(self, random: np.random.Generator) -> Float64:
        rates = random.beta(self._posterior[:, 0], self._posterior[:, 1])
        return np.asarray(np.abs(rates - self._target))
