"""The groups that the policy was least sure of, token by token."""

from collections.abc import Sequence

import numpy as np

from effrl.label.halves import Candidate, Rank, Untaught
from effrl.stateless import StatelessPart
from effrl.types import Group, Step


class AvgProbBuyer(StatelessPart, Untaught):
    """A :class:`~effrl.label.halves.Buyer`: by the mean probability of a sampled token, the lowest first."""

    name = "buyer"

    async def rank(self, step: Step, candidates: Sequence[Candidate]) -> list[Rank]:
        return [Rank(-mean_probability(entry.read.group)) for entry in candidates]


def mean_probability(group: Group) -> float:
    """Mean over rollouts of the mean probability that their sampler gave a sampled token; 0 for one without tokens."""
    means = [float(np.exp(rollout.logprobs).mean()) if len(rollout.logprobs) else 0.0 for rollout in group.rollouts]
    return sum(means) / len(means)
