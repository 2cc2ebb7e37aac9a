"""The corrective advantage gap: how far a true label moves a group's advantages away from the vote's.

RLAVR/CARE. For votes ``x`` (size of the largest cluster) and right rollouts ``y`` among ``n``:

    CAG = ‖ Adv(true rewards) - Adv(vote's rewards) ‖₂,   Adv(r) = (r - mean r) / std(r), 0 for a constant r,

It is 0 where the vote is right, and where it is unanimous (no gradient, neither way).
"""

from math import sqrt


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
