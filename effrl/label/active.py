"""A labeller in two halves: one buys the labels of the groups that it ranks first, the other judges the rest."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, floor
from pathlib import Path
from typing import Any

from effrl.batch import Settled
from effrl.label.care.features import Features, features
from effrl.label.care.records import Lesson, ProbeMemory, ProbeRecord, record_of
from effrl.label.care.storage import load_records, save_records
from effrl.label.halves import Buyer, Candidate, Filter, Left
from effrl.label.verdicts import question_of, settled_by
from effrl.protocols import Oracle
from effrl.questions import Asked, Label, Refused, Reply
from effrl.saved import Saved
from effrl.types import Decision, Fate, Judged, ReadGroup, Step, Supervision, View, Want

Quota = Callable[[Step, int], int]
"""Step and its groups → labels that it may buy."""


@dataclass
class ActiveLabeller:
    """A :class:`~effrl.protocols.Labeller`; owned prompts are supervised by their label and leave the ranking.

    So do prompts whose label is asked for: their group waits for the answer to the question that is open.
    """

    oracle: Oracle
    buyer: Buyer
    filter: Filter
    quota: Quota
    longest: int
    """Tokens of the longest completion."""
    pays_per_visit: bool = False
    """Whether a label is charged whenever its group is chosen, instead of once for good."""
    memory: ProbeMemory = field(default_factory=lambda: ProbeMemory(0))
    name = "labeller"
    _seen: dict[str, Features] = field(default_factory=dict)
    """What was seen of groups with a label that is known or asked for, by group id, until it teaches something."""

    @property
    def wants(self) -> frozenset[Want]:
        return self.buyer.wants | self.filter.wants

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> list[Judged]:
        candidates = [self._candidate(*pair) for pair in zip(groups, views, strict=True)]
        owned = await self._owned(step, groups)
        left = await self._ranked(step, [entry for entry in candidates if entry.prompt_id not in owned], len(groups))
        replies = owned | await self._buy(step, first(left, self.quota(step, len(groups))))
        rest = [entry for entry in left if not _has_label(replies.get(entry.candidate.prompt_id))]
        verdicts = self.filter.judge(step, rest)
        judged = {
            entry.candidate.prompt_id: unlabelled(entry.candidate.read, verdict, replies.get(entry.candidate.prompt_id))
            for entry, verdict in zip(rest, verdicts, strict=True)
        }
        for entry in candidates:
            reply = replies.get(entry.prompt_id)
            if reply is not None and _has_label(reply):
                judged[entry.prompt_id] = settled_by(reply, entry.read, "bought")
                self._remember(entry)
        grounds = {entry.candidate.prompt_id: grounds_of(entry) for entry in left}
        return [replace(judged[name], grounds=grounds.get(name, {})) for name in (c.prompt_id for c in candidates)]

    async def learn(self, step: Step, settled: Sequence[Settled]) -> Mapping[str, float]:
        """Teach both halves what the step's labels showed; what they showed is remembered after that."""
        own = list(self._records(settled))
        lesson = Lesson(own, self.memory.records)
        learned = [await asyncio.to_thread(half.learn, step, settled, lesson) for half in (self.buyer, self.filter)]
        self.memory.add(own)
        return {name: value for metrics in learned for name, value in metrics.items()}

    async def save(self, into: Path) -> Saved:
        parts = {half.name: await half.save(into) for half in (self.buyer, self.filter)}
        files = await asyncio.to_thread(save_records, into, self.memory.records, self._seen)
        for saved in parts.values():
            files |= saved.files
        return Saved(files, {name: saved.state for name, saved in parts.items()})

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        for half in (self.buyer, self.filter):
            await half.load(path, state[half.name])
        self.memory.records, self._seen = await asyncio.to_thread(load_records, path)

    async def _owned(self, step: Step, groups: Sequence[ReadGroup]) -> dict[str, Reply]:
        """Labels that are paid for or asked for, by prompt id; with a charge per visit nothing is paid for good."""
        if self.pays_per_visit:
            return {}
        ids = [read.group.prompt.id for read in groups]
        standing = zip(ids, await self.oracle.owned(step, ids), strict=True)
        return {prompt_id: known for prompt_id, known in standing if known is not None}

    async def _ranked(self, step: Step, candidates: Sequence[Candidate], groups: int) -> list[Left]:
        trusts = self.filter.trust(step, candidates, groups)
        ranks = await self.buyer.rank(step, candidates)
        return [Left(*entry) for entry in zip(candidates, ranks, trusts, strict=True)]

    async def _buy(self, step: Step, chosen: Sequence[Left]) -> dict[str, Reply]:
        questions = [question_of(entry.candidate.read, entry.rank.score or 0.0) for entry in chosen]
        replies = await self.oracle.buy(step, questions) if questions else []
        return {question.prompt.id: reply for question, reply in zip(questions, replies, strict=True)}

    def _candidate(self, read: ReadGroup, view: View) -> Candidate:
        return Candidate(read, view, features(read, view, self.longest) if "last" in self.wants else None)

    def _remember(self, entry: Candidate) -> None:
        if entry.features is not None:
            self._seen[entry.read.group.id] = entry.features

    def _records(self, settled: Sequence[Settled]) -> Iterator[ProbeRecord]:
        """Of groups that were scored against their label; what is parked waits."""
        for entry in settled:
            group_id, supervision = entry.scored.group.id, entry.scored.judged.supervision
            if entry.fate is Fate.PARKED:
                continue
            seen = self._seen.pop(group_id, None)
            if seen is not None and supervision is not None and supervision.is_true and entry.fate is not Fate.FAILED:
                yield record_of(entry, seen)


def first(left: Sequence[Left], count: int) -> list[Left]:
    """The groups to buy: by score, of equals the smaller prompt id; those that are held come last."""
    wanted = [(entry.trust.held, -entry.rank.score, entry) for entry in left if entry.rank.score is not None]
    order = sorted(wanted, key=lambda key: (*key[:2], key[2].candidate.prompt_id))
    return [entry for *_, entry in order[:count]]


def unlabelled(read: ReadGroup, verdict: Supervision | str, reply: Reply | None) -> Judged:
    """What becomes of a group without a label: its pseudo-label, or why it is dropped."""
    if isinstance(verdict, Supervision):
        return Judged(read, Decision.USE, verdict)
    why = f"no label: {reply.reason if isinstance(reply, Refused) else 'not chosen'}"
    return Judged(read, Decision.DROP, reason=f"{verdict}, and {why}" if verdict else why)


def grounds_of(left: Left) -> dict[str, float]:
    """What the decision on a group went by."""
    known = {"score": left.rank.score, "trust": left.trust.score}
    return {name: value for name, value in known.items() if value is not None} | dict(left.rank.grounds)


def whole(share: float) -> Quota:
    """In every step the share of its groups, rounded up (CARE)."""
    return lambda step, groups: min(groups, ceil(share * groups - 1e-9))


def carried(share: float) -> Quota:
    """The share of all groups so far: fractions add up over the steps.

    Example: a share of 0.01 of 32 groups buys one label in every third or fourth step.
    """

    def quota(step: Step, groups: int) -> int:
        up_to, before = (floor(share * groups * number + 1e-9) for number in (step.number, step.number - 1))
        return up_to - before

    return quota


def _has_label(reply: Reply | None) -> bool:
    return isinstance(reply, Label | Asked)
