"""Labellers of the user's own: one as small as can be, and one that learns and saves."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from effrl.batch import Settled
from effrl.label.verdicts import question_of, settled_by
from effrl.label.vote import majority
from effrl.run.files import written
from effrl.saved import Saved
from effrl.types import Decision, Judged, ReadGroup, Step, View, Want


def made(config: Any, oracle: Any) -> Any:
    return "made", config


class BelowMean:
    """Buys where a group agrees less than groups did so far, and votes elsewhere; the mean is learned from each step.

    It inherits from nothing, and is called as another part of a run is; its mean is in a file, and the number of groups
    in the manifest.
    """

    name = "data"
    wants: frozenset[Want] = frozenset()

    def __init__(self, config: Any, oracle: Any) -> None:
        self.oracle, self.mean, self.count = oracle, 0.5, 1

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> list[Judged]:
        owned = await self.oracle.owned(step, [read.group.prompt.id for read in groups])
        known = {read.group.id: label for read, label in zip(groups, owned, strict=True) if label is not None}
        wanted = [read for read in groups if read.group.id not in known and _share(read) < self.mean]
        replies = await self.oracle.buy(step, [question_of(read) for read in wanted])
        told = {**known, **{read.group.id: reply for read, reply in zip(wanted, replies, strict=True)}}
        return [settled_by(told[r.group.id], r, "bought") if r.group.id in told else _voted(r) for r in groups]

    async def learn(self, step: Step, settled: Sequence[Settled]) -> Mapping[str, float]:
        for entry in settled:
            self.count += 1
            self.mean += (_share(entry.scored.judged.read) - self.mean) / self.count
        return {"label/mean_share": self.mean}

    async def save(self, into: Path) -> Saved:
        file = into / "mean.json"
        file.write_text(json.dumps(self.mean))
        return Saved(written(into, [file]), {"count": self.count})

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        self.mean, self.count = json.loads((path / "mean.json").read_text()), state["count"]


def _share(read: ReadGroup) -> float:
    return read.size(0) / len(read.answers)


def _voted(read: ReadGroup) -> Judged:
    vote = majority(read)
    return Judged(read, Decision.USE, vote) if vote else Judged(read, Decision.DROP, reason="no answer to vote on")
