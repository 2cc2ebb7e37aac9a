"""Supervised by the truth: the true label of every group, as long as the budget lasts."""

from collections.abc import Sequence
from dataclasses import dataclass

from effrl.label.stateless import Stateless
from effrl.label.verdicts import question_of, settled_by
from effrl.protocols import Oracle
from effrl.questions import Reply
from effrl.types import Judged, ReadGroup, Step, View


@dataclass(frozen=True)
class GoldLabeller(Stateless):
    """A :class:`~effrl.protocols.Labeller` that buys every label; groups whose label cannot be had are dropped.

    What is owned is not asked for again, whoever sold it: a label of another run may come from somebody else.
    """

    oracle: Oracle

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> list[Judged]:
        standing = await self.oracle.owned(step, [read.group.prompt.id for read in groups])
        wanted = [read for read, known in zip(groups, standing, strict=True) if known is None]
        bought = iter(await self.oracle.buy(step, [question_of(read) for read in wanted]))
        replies: list[Reply] = [next(bought) if known is None else known for known in standing]
        return [settled_by(reply, read, "gold") for reply, read in zip(replies, groups, strict=True)]
