"""Supervised by the truth: the true label of every group, as long as the budget lasts."""

from collections.abc import Sequence
from dataclasses import dataclass

from effrl.protocols import Oracle
from effrl.types import Decision, Judged, ReadGroup, Supervision


@dataclass(frozen=True)
class GoldLabeller:
    """A :class:`~effrl.protocols.Labeller` that buys every label; groups whose label cannot be had are dropped."""

    oracle: Oracle

    async def assign(self, step: int, groups: Sequence[ReadGroup]) -> list[Judged]:
        labels = await self.oracle.buy(step, [read.group.prompt.id for read in groups])
        return [_judge(read, label) for read, label in zip(groups, labels, strict=True)]


def _judge(read: ReadGroup, label: str | None) -> Judged:
    if label is None:
        return Judged(read, Decision.DROP, reason="no label: the budget is spent")
    return Judged(read, Decision.USE, Supervision("gold", label))
