"""Supervised by the truth: the true label of every group, as long as the budget lasts."""

from collections.abc import Sequence
from dataclasses import dataclass

from effrl.label.stateless import Stateless
from effrl.label.verdicts import question_of, settled_by
from effrl.protocols import Oracle
from effrl.types import Judged, ReadGroup, Step, View


@dataclass(frozen=True)
class GoldLabeller(Stateless):
    """A :class:`~effrl.protocols.Labeller` that buys every label; groups whose label cannot be had are dropped."""

    oracle: Oracle

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> list[Judged]:
        replies = await self.oracle.buy(step, [question_of(read) for read in groups])
        return [settled_by(reply, read, "gold") for reply, read in zip(replies, groups, strict=True)]
