"""The reward actor as the loop sees it: reads answers and scores rollouts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from actors.wait import answer
from effrl.config.reward import RewardTerms
from effrl.reward.reading import LOST, membership
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.terms import shaped
from effrl.run.metrics import Stopwatch
from effrl.types import (
    Group,
    Judged,
    Prompt,
    ReadGroup,
    Rollout,
    Score,
    ScoredGroup,
)

T = TypeVar("T")


@dataclass
class RewardService:
    """Reads and scores rollouts in the reward actor."""

    actor: Any
    clock: Stopwatch
    wait_s: float
    terms: RewardTerms
    max_tokens: int

    async def read(self, groups: Sequence[Group]) -> list[ReadGroup]:
        with self.clock.stage("read"):
            return await self.answers(groups)

    async def outcome(self, judged: Sequence[Judged]) -> list[ScoredGroup]:
        """Grade what has a label; whoever is supervised by a pseudo-label is rewarded for its cluster."""
        graded = [entry for entry in judged if entry.supervision and entry.supervision.cluster is None]
        with self.clock.stage("score"):
            labels = [(entry.group, entry.supervision.answer) for entry in graded if entry.supervision]
            scores = dict(zip((entry.group.id for entry in graded), await self.score(labels), strict=True))
            scored = [ScoredGroup(entry, scores.get(entry.group.id, membership(entry))) for entry in judged]
            formatted = await self._formatted([entry.group for entry in judged])
        return [
            shaped(group, self.terms, self.max_tokens, formats)
            for group, formats in zip(scored, formatted, strict=True)
        ]

    async def _formatted(self, groups: Sequence[Group]) -> list[list[bool]]:
        """Whether each rollout of each group has the format that is asked for; empty lists where none is."""
        if self.terms.format is None:
            return [[] for _ in groups]
        texts = [rollout.text for group in groups for rollout in group.rollouts]
        found = iter(await answer(self.actor.formatted.remote(texts), self.wait_s, "formats", "reward"))
        return [[next(found) for _ in group.rollouts] for group in groups]

    async def answers(self, groups: Sequence[Group]) -> list[ReadGroup]:
        """The final answers of each group, and which are equivalent."""
        texts = [(tuple(r.text for r in group.rollouts if not r.failed), group.prompt.meta) for group in groups]
        read = await answer(self.actor.read.remote(texts), self.wait_s, "answers", "reward")
        pairs = zip(groups, read, strict=True)
        return [ReadGroup(group, *(_in_place(group, iter(found), None) for found in both)) for group, both in pairs]

    async def score(self, groups: Sequence[tuple[Group, str | None]]) -> list[tuple[Score, ...]]:
        """One score per rollout of each (group, label); what the engine failed is not sent to the verifier."""
        tasks = [
            _task(group.prompt, rollout, label)
            for group, label in groups
            for rollout in group.rollouts
            if not rollout.failed
        ]
        scores = iter(await answer(self.actor.score.remote(tasks), self.wait_s, "scores", "reward"))
        return [_in_place(group, scores, LOST) for group, _ in groups]


def _in_place(group: Group, found: Iterator[T], lost: T) -> tuple[T, ...]:
    """One value per rollout: the next that was found, and ``lost`` for a rollout that does not exist."""
    return tuple(lost if rollout.failed else next(found) for rollout in group.rollouts)


def _task(prompt: Prompt, rollout: Rollout, label: str | None) -> ScoringTask:
    return ScoringTask(rollout.text, label, prompt.meta, truncated=rollout.finish_reason == "length")
