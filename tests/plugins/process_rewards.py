"""Process rewards of the user's own: a token is worth more, the more often right rollouts had it before."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from effrl.batch import Batch
from effrl.saved import Saved
from effrl.sequences import ProcessReward, TokenRewards
from effrl.types import ScoredGroup, Step


class CommonTokens:
    """Learns from the outcomes of fresh groups, and gives the tokens of all groups what it has learned."""

    name = "process"

    def __init__(self, config: Any) -> None:
        self.right: Counter[int] = Counter()
        self.all: Counter[int] = Counter()

    async def reward(self, step: Step, batch: Batch) -> ProcessReward:
        for scored in batch.trained:
            self._learn(scored)
        return ProcessReward({scored.group.id: self._values(scored) for scored in batch.learned})

    async def save(self, into: Path) -> Saved:
        return Saved({}, {"right": sorted(self.right.items()), "all": sorted(self.all.items())})

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        self.right, self.all = (Counter({token: n for token, n in state[name]}) for name in ("right", "all"))

    def _learn(self, scored: ScoredGroup) -> None:
        for rollout, score in zip(scored.group.rollouts, scored.scores, strict=True):
            tokens = rollout.token_ids.tolist()
            self.all.update(tokens)
            self.right.update(tokens if score.outcome == 1 else [])

    def _values(self, scored: ScoredGroup) -> list[TokenRewards]:
        rates = [[self.right[t] / self.all[t] - 0.5 for t in r.token_ids.tolist()] for r in scored.group.rollouts]
        return [TokenRewards(np.array(row, np.float32)) for row in rates]
