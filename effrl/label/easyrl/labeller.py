"""Supervised by pseudo-labels where there are any: gold ones by their label, deferred ones by another labeller."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effrl.batch import Settled
from effrl.label.easyrl.items import PseudoLabel
from effrl.label.gold import GoldLabeller
from effrl.label.stateless import Stateless
from effrl.protocols import Labeller, Oracle
from effrl.questions import Label
from effrl.saved import Saved
from effrl.types import Decision, Judged, ReadGroup, Step, Supervision, View, Want


class Waiting(Stateless):
    """A :class:`~effrl.protocols.Labeller` of prompts that wait for the next round (``deferred: drop``)."""

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> list[Judged]:
        return [Judged(read, Decision.DROP, reason="it waits for the next round") for read in groups]


@dataclass(frozen=True)
class PseudoLabeller:
    """A :class:`~effrl.protocols.Labeller`. Groups of ``gold`` prompts have their true label, and so have those whose
    label is owned by now: the truth is better than a pseudo-label, which is neither bought nor charged, nor known to
    the oracle.

    A pseudo-label names no cluster. It is an answer of an earlier policy, which the verifier compares with.
    """

    oracle: Oracle
    gold: Collection[str]
    """Ids of the prompts that keep their true label, which is bought if nobody owns it."""
    labels: Mapping[str, PseudoLabel]
    """Of the round, by prompt id; none is gold."""
    others: Labeller
    """Who decides about all other prompts, and sees, learns and saves nothing else."""
    name = "labeller"

    def __post_init__(self) -> None:
        assert not set(self.gold) & self.labels.keys(), "a prompt with a true label has another"

    @property
    def wants(self) -> frozenset[Want]:
        return self.others.wants

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> list[Judged]:
        owned = await self._owned(step, [read.group.prompt.id for read in groups])
        gold = [read for read in groups if read.group.prompt.id in self.gold or read.group.prompt.id in owned]
        rest = [pair for pair in zip(groups, views, strict=True) if self._is_of_others(pair[0].group.prompt.id)]
        judged = {
            **self._pseudo(groups),
            **_by_group(await GoldLabeller(self.oracle).assign(step, gold, [])),
            **_by_group(await self.others.assign(step, [read for read, _ in rest], [view for _, view in rest])),
        }
        return [judged[read.group.id] for read in groups]

    async def learn(self, step: Step, settled: Sequence[Settled]) -> Mapping[str, float]:
        return await self.others.learn(step, [entry for entry in settled if self._is_of_others(_prompt_id(entry))])

    async def save(self, into: Path) -> Saved:
        return await self.others.save(into)

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        await self.others.load(path, state)

    def _pseudo(self, groups: Sequence[ReadGroup]) -> dict[str, Judged]:
        known = [(read, self.labels.get(read.group.prompt.id)) for read in groups]
        return {read.group.id: _supervised(read, entry) for read, entry in known if entry is not None}

    async def _owned(self, step: Step, prompt_ids: Sequence[str]) -> set[str]:
        """Prompts with a pseudo-label whose true one came since; one that was only asked for has not."""
        labelled = [name for name in prompt_ids if name in self.labels]
        standing = await self.oracle.owned(step, labelled)
        return {name for name, known in zip(labelled, standing, strict=True) if isinstance(known, Label)}

    def _is_of_others(self, prompt_id: str) -> bool:
        return prompt_id not in self.gold and prompt_id not in self.labels


def _supervised(read: ReadGroup, entry: PseudoLabel) -> Judged:
    return Judged(read, Decision.USE, Supervision(entry.tier, entry.answer, confidence=entry.share))


def _by_group(judged: Sequence[Judged]) -> dict[str, Judged]:
    return {entry.group.id: entry for entry in judged}


def _prompt_id(settled: Settled) -> str:
    return settled.scored.group.prompt.id
