"""Whether votes can be trusted, as a few groups of the initial policy tell it before a budget is set."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

Z95 = 1.96
"""Standard errors on each side that make an interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Votes:
    """What was found. Groups without any answer have share 0 and a wrong vote."""

    shares: Mapping[str, float]
    """Share of the majority, by prompt id."""
    entropy: float
    """Mean entropy of the answers, in nats."""
    right: int
    """Groups whose vote is right."""
    labelled: int
    """Groups with a label to compare their vote with."""

    @property
    def share(self) -> float:
        """Mean share of the majority."""
        return sum(self.shares.values()) / len(self.shares)

    @property
    def accuracy(self) -> tuple[float, float]:
        """95 % interval of the share of right votes (Wilson's, 1927, which few groups do not mislead); else (0, 1)."""
        if not self.labelled:
            return 0.0, 1.0
        n, rate = self.labelled, self.right / self.labelled
        centre = rate + Z95**2 / (2 * n)
        half = Z95 * sqrt(rate * (1 - rate) / n + (Z95 / (2 * n)) ** 2)
        low, high = ((centre + side * half) / (1 + Z95**2 / n) for side in (-1, 1))
        return max(0.0, low), min(1.0, high)


def advice(votes: Votes) -> str:
    """What to do with groups whose label is not bought, in one or two sentences."""
    if not votes.labelled:
        return (
            "No label says whether these votes are right. Give a few prompts of data.train one and ask again; until"
            " then drop what is not bought: label={buy: care, rest: drop}"
        )
    low, high = votes.accuracy
    if low > 0.5:
        return "Most votes are right: let the trusted ones train, label={kind: care}, or all of them, label.kind=vote"
    if high < 0.5:
        return "Most votes are wrong: do not train on them, label={buy: care, rest: drop}"
    more = round(votes.labelled * max(2.0, ((high - low) / 0.2) ** 2))
    return f"It is not clear whether most votes are right: ask more prompts, --prompts {more}, or drop them, rest: drop"
