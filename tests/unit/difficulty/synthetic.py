"""Pass rates that follow a law: prompts z ~ N(0, I), a direction v, and a policy's ability.

rate = sigmoid(kappa v.z + ability), measured in G rollouts.
"""

import numpy as np

from effrl.difficulty.training import Examples, PolicyTable

DIMENSION, KAPPA, TRIES = 16, 2.0, 8


class World:
    """N prompts and a direction."""

    def __init__(self, prompts: int, seed: int = 1) -> None:
        self.random = np.random.default_rng(seed)
        self.embeddings = self.random.normal(size=(prompts, DIMENSION)).astype(np.float32)
        direction = self.random.normal(size=DIMENSION)
        self.skill = self.embeddings @ (KAPPA * direction / np.linalg.norm(direction))

    def rates(self, ability: float) -> np.ndarray:
        return 1 / (1 + np.exp(-self.skill - ability))

    def measure(self, rates: np.ndarray) -> np.ndarray:
        return (self.random.binomial(TRIES, rates) / TRIES).astype(np.float32)

    def examples(self, abilities: list[float], references: int, per_policy: int) -> Examples:
        """The first prompts are the references; every policy has prompts of its own choice among the rest."""
        tables = []
        for ability in abilities:
            rates = self.rates(ability)
            rows = self.random.choice(np.arange(references, len(rates)), per_policy, replace=False)
            tables.append(PolicyTable(rows, self.measure(rates[rows]), self.measure(rates[:references])))
        return Examples(self.embeddings, np.arange(references), tables)
