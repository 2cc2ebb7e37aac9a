"""Advantages of one group, as PRIME has them without whitening, and those of controls."""

import numpy as np

from effrl.advantage.prime import prime_advantages
from effrl.config.advantage import PrimeAdvantage
from effrl.sequences import GroupRewards, TokenRewards
from effrl.tasks.problem import Problem
from tests.bench.prm.decided import branch, places
from tests.bench.prm.model import Rows
from tests.bench.prm.recorded import Recorded


def outcome_of(group: Recorded) -> Rows:
    """[T_i] advantages of RLOO."""
    return _prime(group, None, PrimeAdvantage(outcome=1.0, process=0.0, whiten=False))


def process_of(group: Recorded, rewards: Rows) -> Rows:
    """[T_i] PRIME's advantages less RLOO's, for a weight of 1."""
    return _prime(group, rewards, PrimeAdvantage(outcome=0.0, process=1.0, whiten=False))


def decision_of(family: str, group: Recorded, problem: Problem) -> Rows:
    """[T_i] advantages of RLOO at the deciding token: where a wrong solution leaves the right one, or where a right one
    reads its letter; 0 elsewhere."""
    rows = outcome_of(group)
    for row, text, outcome in zip(rows, group.texts, group.outcomes, strict=True):
        left = branch(problem, text)
        wanted = [place.token for place in places(family, problem, text)] if outcome > 0.5 else [left]
        keep = np.zeros(len(row), bool)
        keep[[token for token in wanted if token is not None and token < len(row)]] = True
        row[~keep] = 0.0
    return rows


def random_like(rows: Rows, draw: np.random.Generator) -> Rows:
    """Normal rewards with the norm of each rollout's own."""
    noise = [draw.standard_normal(len(row)) for row in rows]
    return [
        (found * np.linalg.norm(row) / max(1e-12, np.linalg.norm(found))).astype(np.float32)
        for found, row in zip(noise, rows, strict=True)
    ]


def _prime(group: Recorded, rewards: Rows | None, config: PrimeAdvantage) -> Rows:
    tokens = None if rewards is None else tuple(map(TokenRewards, rewards))
    given = GroupRewards(group.outcomes, tuple(group.lengths), tokens)
    return [np.asarray(row, np.float32) for row in prime_advantages([given], config)[0]]
