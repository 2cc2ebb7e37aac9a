"""The corrective advantage gap: how far a true label moves a group's advantages away from the vote's.

RLAVR/CARE. For votes ``x`` (size of the largest cluster) and right rollouts ``y`` among ``n``:

    CAG = ‖ Adv(true rewards) - Adv(vote's rewards) ‖₂,   Adv(r) = (r - mean r) / std(r), 0 for a constant r,

It is 0 where the vote is right, and where it is unanimous (no gradient, neither way).
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray


def corrective_advantage_gap(n: int, votes: int, right: int) -> float:
    """The gap of a group whose vote is wrong, in closed form; between √n and 2√n where it is not 0.

    Args:
        n: rollouts of the group.
        votes: rollouts that agree with the vote.
        right: rollouts whose answer is right; none of them is among the votes.

    Returns:
        0 for a combination that no group can have. More right rollouts than votes are possible: the right ones may
        have been written in several ways that nobody found equal.
    """
    if not (right >= 0 and votes + right <= n) or votes in (0, n):
        return 0.0
    if right == 0:
        return sqrt(n)
    return sqrt(2 * n * (1 + sqrt(votes * right / ((n - votes) * (n - right)))))


def advantage_gap(right: Sequence[bool], voted: Sequence[bool]) -> float:
    """The gap by its definition: of a group whose true rewards and whose vote's rewards are known."""
    return float(np.linalg.norm(_advantages(right) - _advantages(voted)))


def _advantages(rewards: Sequence[bool]) -> NDArray[np.float64]:
    """Rewards less their mean, over their standard deviation (of all, not of a sample); 0 where they are equal."""
    values = np.array(rewards, np.float64)
    spread = values.std() if len(values) else 0.0
    return np.zeros_like(values) if spread < 1e-8 else (values - values.mean()) / spread
