"""How far people can be trusted, from questions whose answer is known and from questions that several answered."""

import math
from collections.abc import Sequence

PRIOR_RIGHT, PRIOR = 9.0, 10.0
"""Beta(9, 1): a person of whom nothing is known yet counts as right nine times in ten."""
LEAST_WEIGHT = 0.05
"""Of a label that is as good as a guess: it stays owned, and teaches next to nothing."""


def reliability(right: int, asked: int) -> float:
    """The posterior mean of a person's share of right answers."""
    return (PRIOR_RIGHT + right) / (PRIOR + asked)


def weight(agree: Sequence[float], differ: Sequence[float] = ()) -> float:
    """How much a label counts that people of these reliabilities gave, against those who gave another answer.

    With p, the probability that it is right if all err independently (naive Bayes between it and the best other
    answer), a wrong label pulls as hard one way as a right one the other: 2p - 1 is what is left on average.
    """
    odds = sum(_log_odds(one) for one in agree) - sum(_log_odds(one) for one in differ)
    return max(LEAST_WEIGHT, math.tanh(odds / 2))  # 2 / (1 + exp(-odds)) - 1


def _log_odds(right: float) -> float:
    return math.log(right) - math.log1p(-right)
