"""One labeller for everything that ranks groups, buys the labels of the first, and votes on the rest or drops it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import floor
from typing import Literal

from effrl.label.stateless import Stateless
from effrl.label.verdicts import question_of, settled_by
from effrl.label.vote import majority
from effrl.protocols import Oracle
from effrl.questions import Asked, Label, Reply
from effrl.seeds import derive
from effrl.types import Decision, Judged, ReadGroup, Step, View

Rank = Callable[[Step, Sequence[ReadGroup]], Sequence[float]]
"""Step and groups → one score per group; the highest are bought, of equals the smaller prompt id."""


@dataclass(frozen=True)
class SelectiveLabeller(Stateless):
    """A :class:`~effrl.protocols.Labeller`; owned prompts are supervised by their label and leave the ranking."""

    oracle: Oracle
    rank: Rank
    share: float
    """Labels that a step may buy, as a share of its groups; fractions add up over the steps."""
    rest: Literal["vote", "drop"]
    """What becomes of the groups whose label is not bought."""

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> list[Judged]:
        labels = await self.oracle.owned(step, [read.group.prompt.id for read in groups])
        open_ = [read for read, label in zip(groups, labels, strict=True) if label is None]
        chosen = self._chosen(step, open_, len(groups))
        replies = await self.oracle.buy(step, [question_of(read) for read in chosen]) if chosen else []
        bought = {read.group.prompt.id: reply for read, reply in zip(chosen, replies, strict=True)}
        own = [None if label is None else Label(label) for label in labels]
        return [
            self._judge(read, mine or bought.get(read.group.prompt.id)) for read, mine in zip(groups, own, strict=True)
        ]

    def _chosen(self, step: Step, open_: Sequence[ReadGroup], groups: int) -> list[ReadGroup]:
        scores = self.rank(step, open_)
        order = sorted(zip(open_, scores, strict=True), key=lambda pair: (-pair[1], pair[0].group.prompt.id))
        return [read for read, _ in order[: allowance(self.share, step.number, groups)]]

    def _judge(self, read: ReadGroup, reply: Reply | None) -> Judged:
        if isinstance(reply, Label | Asked):
            return settled_by(reply, read, "bought")
        vote = majority(read) if self.rest == "vote" else None
        if vote is not None:
            return Judged(read, Decision.USE, vote)
        no_vote = "no answer to vote on, and " if self.rest == "vote" else ""
        return Judged(read, Decision.DROP, reason=f"{no_vote}no label: {reply.reason if reply else 'not chosen'}")


def allowance(share: float, step: int, groups: int) -> int:
    """Labels of step ``step`` (from 1): what the share allows up to it, less what it allowed before.

    Example: a share of 0.01 of 32 groups buys one label in every third or fourth step.
    """
    up_to, before = (floor(share * groups * number + 1e-9) for number in (step, step - 1))
    return up_to - before


def at_random(seed: int) -> Rank:
    """Random scores, the same for the same seed, step and prompt."""
    return lambda step, groups: [derive(seed, "label", step.number, read.group.prompt.id) for read in groups]
