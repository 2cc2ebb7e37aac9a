"""Fitting the difficulty network in a run, from what the run itself finds out."""

from collections.abc import Sequence

import numpy as np
import torch

from effrl.config.select import DotsSelect
from effrl.difficulty.network import DifficultyNetwork
from effrl.difficulty.predictor import DifficultyPredictor
from effrl.difficulty.rounds import Round
from effrl.difficulty.training import Examples, Fit, PolicyTable, fit
from effrl.types import Float32


class Refitting:
    """Makes a predictor anew at the beginning of each round, from what the rounds before have found out.

    Each time from the same untrained network: what it predicts depends on these rounds and the seed alone, and nothing
    but the rounds needs to be kept for a resume. Each round counts as a policy of its own.
    """

    def __init__(self, embeddings: Float32, how: DotsSelect, seed: int, tries: int) -> None:
        """Start without a fit.

        Args:
            embeddings: [N, D] of the pool.
            how: sizes and epochs.
            seed: of initial weights, dropout and the order of steps.
            tries: rollouts that a reference's rate is measured in.
        """
        self._embeddings, self._how, self._tries = embeddings, how, tries
        self._seed = seed % 2**32  # what NumPy's and torch's generators both take

    def __call__(self, rounds: Sequence[Round]) -> DifficultyPredictor | None:
        """The predictor after these rounds, the newest last; None where none before the newest measured anything."""
        usable = [entry for entry in rounds if len(entry.measured) > 1]
        if len(usable) < 2:
            return None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            network = DifficultyNetwork(self._embeddings.shape[1], self._how.hidden, self._how.layers)
            fit(network, [self._examples(entry) for entry in usable], Fit(epochs=self._how.epochs, seed=self._seed))
        return DifficultyPredictor(network, self._embeddings, self._how.posthoc, self._tries)

    def _examples(self, found: Round) -> Examples:
        """All that was measured predicts one another; only this round's rows are read."""
        measured = found.measured
        own, rates = np.arange(len(measured)), np.fromiter(measured.values(), np.float32)
        return Examples(np.asarray(self._embeddings[[*measured]]), own, [PolicyTable(own, rates, rates)])
