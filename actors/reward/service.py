"""The reward actors as the loop sees them: they read answers and score rollouts."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil
from typing import Any, TypeVar

import ray

from actors.wait import answer, together
from effrl.chunks import chunks
from effrl.config.reward import AnyReward
from effrl.reward.reading import LOST, Completions, membership
from effrl.reward.sandbox.messages import ScoringQuestion, ScoringTask
from effrl.reward.sandbox.pool import patience
from effrl.reward.terms import shaped
from effrl.run.metrics import Stopwatch
from effrl.types import (
    Group,
    Judged,
    ReadGroup,
    Score,
    ScoredGroup,
)

T = TypeVar("T")


@dataclass
class RewardService:
    """Reads and scores rollouts in the reward actors, an equal share in each.

    Any completion may hang until its worker is killed and replaced. So work goes to an actor in parts that are done
    within ``wait_s`` even if all of a part hangs (or of one completion per worker, one group to read): the deadline
    follows the work, and no wait is longer than what a part can take.
    """

    actors: Mapping[str, Any]
    """By name."""
    clock: Stopwatch
    wait_s: float
    config: AnyReward
    max_tokens: int
    reads_clusters: bool = True
    """Whether the labeller looks at which answers are the same in value."""

    async def read(self, groups: Sequence[Group]) -> list[ReadGroup]:
        with self.clock.stage("read"):
            return await self._read(groups, self.reads_clusters)

    async def outcome(self, judged: Sequence[Judged]) -> list[ScoredGroup]:
        """Grade what has a label; whoever is supervised by a pseudo-label is rewarded for its cluster."""
        graded = [entry for entry in judged if entry.supervision and entry.supervision.cluster is None]
        with self.clock.stage("score"):
            labels = [(entry.group, entry.supervision.answer) for entry in graded if entry.supervision]
            scores = dict(zip((entry.group.id for entry in graded), await self.score(labels), strict=True))
            scored = [ScoredGroup(entry, scores.get(entry.group.id, membership(entry))) for entry in judged]
            formatted = await self._formatted([entry.group for entry in judged])
        return [
            shaped(group, self.config.terms, self.max_tokens, formats)
            for group, formats in zip(scored, formatted, strict=True)
        ]

    async def answers(self, groups: Sequence[Group]) -> list[ReadGroup]:
        """The final answers of each group, and which are equivalent."""
        return await self._read(groups, compare=True)

    async def score(self, groups: Sequence[tuple[Group, str | None]]) -> list[tuple[Score, ...]]:
        """One score per rollout of each (group, label); what the engine failed is not sent to the verifier."""
        scores = await self._judged([task for group, label in groups for task in _tasks(group, label)], "scores")
        return [_in_place(group, scores, LOST) for group, _ in groups]

    async def _formatted(self, groups: Sequence[Group]) -> list[list[bool]]:
        """Whether each rollout of each group has the format that is asked for; empty lists where none is."""
        if self.config.terms.format is None:
            return [[] for _ in groups]
        tasks = [task for group in groups for task in _tasks(group, None, "format")]
        scores = await self._judged(tasks, "formats")
        return [[score.outcome == 1.0 for score in _in_place(group, scores, LOST)] for group in groups]

    async def _read(self, groups: Sequence[Group], compare: bool) -> list[ReadGroup]:
        tasks = max([1, *(_tasks_to_read(group, compare) for group in groups)])
        read: list[ReadGroup] = []
        for part in chunks(groups, max(1, self._at_once // tasks) * len(self.actors)):
            asked = [_completions(group) for group in part]
            found = await self._shared(asked, lambda actor, share: actor.read.remote(share, compare), "answers", tasks)
            read += [
                ReadGroup(group, *(_in_place(group, iter(each), None) for each in both))
                for group, both in zip(part, found, strict=True)
            ]
        return read

    async def _judged(self, tasks: Sequence[ScoringTask], what: str) -> Iterator[Score]:
        """One score per task, in order."""
        scores: list[Score] = []
        for part in chunks(tasks, self._at_once * len(self.actors)):
            scores += await self._shared(part, lambda actor, share: actor.score.remote(share), what)
        return iter(scores)

    async def _shared(
        self, work: Sequence[T], ask: Callable[[Any, Sequence[T]], ray.ObjectRef], what: str, tasks: int = 1
    ) -> Iterator[Any]:
        """What the actors answer, each to its share, in the order of the work, of which each item is so many tasks."""
        shares = chunks(work, ceil(len(work) / len(self.actors)))  # the last actors have none where there is little
        waits = [
            answer(ask(actor, share), self._deadline(len(share) * tasks), what, name)
            for (name, actor), share in zip(self.actors.items(), shares, strict=False)
        ]
        return chain.from_iterable(await together(*waits))

    @property
    def _at_once(self) -> int:
        """Tasks that an actor does within ``wait_s`` even if each of them hangs; at least one per worker."""
        return self.config.workers * max(1, int(self.wait_s / patience(self.config, 1)))

    def _deadline(self, tasks: int) -> float:
        return max(self.wait_s, patience(self.config, tasks))


def _completions(group: Group) -> Completions:
    texts = tuple(rollout.text for rollout in group.rollouts if not rollout.failed)
    return Completions(group.prompt.id, texts, group.prompt.meta)


def _tasks_to_read(group: Group, compare: bool) -> int:
    """At most: one per answer, and one per pair of different answers."""
    count = len(group.rollouts)
    return count + compare * count * (count - 1) // 2


def _tasks(group: Group, label: str | None, question: ScoringQuestion = "outcome") -> list[ScoringTask]:
    prompt, rollouts = group.prompt, [rollout for rollout in group.rollouts if not rollout.failed]
    return [
        ScoringTask(rollout.text, label, prompt.meta, rollout.finish_reason == "length", question, prompt.id)
        for rollout in rollouts
    ]


def _in_place(group: Group, found: Iterator[T], lost: T) -> tuple[T, ...]:
    """One value per rollout: the next that was found, and ``lost`` for a rollout that does not exist."""
    return tuple(lost if rollout.failed else next(found) for rollout in group.rollouts)
