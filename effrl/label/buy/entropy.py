"""The groups whose answers differ most."""

from collections.abc import Sequence
from math import log

from effrl.label.care.features import cluster_sizes
from effrl.label.halves import Candidate, Rank, Untaught
from effrl.stateless import StatelessPart
from effrl.types import Step


class EntropyBuyer(StatelessPart, Untaught):
    """A :class:`~effrl.label.halves.Buyer`: by the entropy of a group's answers, in nats."""

    name = "buyer"

    async def rank(self, step: Step, candidates: Sequence[Candidate]) -> list[Rank]:
        return [Rank(answer_entropy(cluster_sizes(entry.read))) for entry in candidates]


def answer_entropy(sizes: Sequence[int]) -> float:
    """-Σ π ln π over clusters of answers of these sizes; rollouts without an answer do not count."""
    return -sum(size / sum(sizes) * log(size / sum(sizes)) for size in sizes)
