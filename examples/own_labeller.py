"""A labeller of your own: votes where the majority is large, labels elsewhere, for at most a quarter of the groups.

    effrl train quickstart label.kind=examples.own_labeller:BuyDoubt rollout.refill=0 run.steps=2

Expect about 6 labels in step 1.
"""

from pathlib import Path

from effrl.label.stateless import Stateless
from effrl.label.verdicts import question_of, settled_by
from effrl.label.vote import majority
from effrl.saved import Saved
from effrl.types import Decision, Judged


class BuyDoubt(Stateless):
    def __init__(self, config, oracle):
        self.oracle, self.sure = oracle, 0.4

    async def assign(self, step, groups, views):
        doubtful = [read for read in groups if read.size(0) < self.sure * len(read.answers)]
        replies = await self.oracle.buy(step, [question_of(read) for read in doubtful])
        pairs = zip(doubtful, replies, strict=True)
        bought = {read.group.id: settled_by(reply, read, "bought") for read, reply in pairs}
        return [bought.get(read.group.id) or self.voted(read) for read in groups]

    def voted(self, read):
        vote = majority(read)
        return Judged(read, Decision.USE, vote) if vote else Judged(read, Decision.DROP, reason="no answer")

    async def learn(self, step, settled):
        sources = [entry.scored.judged.supervision.source for entry in settled if entry.scored.judged.supervision]
        self.sure *= 0.9 if sources.count("bought") > len(settled) / 4 else 1.1
        return {"label/sure": self.sure}

    async def save(self, into: Path):
        return Saved({}, {"sure": self.sure})

    async def load(self, path: Path, state):
        self.sure = state["sure"]
