"""A rollout is worth the share of its group that gave its answer: votes without a winner (EMPO, arXiv 2504.05812)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from effrl.label.buy.entropy import answer_entropy
from effrl.label.care.features import cluster_sizes
from effrl.label.stateless import Stateless
from effrl.label.vote import NO_VOTE
from effrl.types import Decision, Judged, ReadGroup, Step, Supervision, View


@dataclass(frozen=True)
class EmpoLabeller(Stateless):
    """A :class:`~effrl.protocols.Labeller` without labels; groups that agree too much or too little are dropped."""

    gate: tuple[float, float]
    """Least and largest entropy of the answers, as shares of ln n; neither is allowed itself."""

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> list[Judged]:
        return [self._judge(read) for read in groups]

    def _judge(self, read: ReadGroup) -> Judged:
        if read.voted is None:
            return Judged(read, Decision.DROP, reason=NO_VOTE)
        n, spread = len(read.clusters), semantic_entropy(read)
        low, high = (share * log(n) for share in self.gate)
        grounds = {"entropy": spread}
        if not low < spread < high:
            much = "little" if spread <= low else "much"
            return Judged(read, Decision.DROP, reason=f"its answers differ too {much}", grounds=grounds)
        values = tuple(0.0 if cluster is None else read.size(cluster) / n for cluster in read.clusters)
        return Judged(read, Decision.USE, Supervision("vote", read.voted, 0, values=values), grounds=grounds)


def semantic_entropy(read: ReadGroup) -> float:
    """Entropy of a group's answers in nats; a rollout without an answer is one of its own."""
    sizes = cluster_sizes(read)
    return answer_entropy([*sizes, *[1] * (len(read.clusters) - sum(sizes))])
