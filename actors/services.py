"""The services of the loop, each an adapter from one of its protocols to actors."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from actors.learner_group import LearnerGroup
from actors.sampling import Sampled, SampleRequest
from actors.transports import wake
from actors.wait import answer, answers
from actors.weights import WeightSync
from effrl import types
from effrl.batch import Batch
from effrl.canary import choose
from effrl.config import Config
from effrl.errors import RunError
from effrl.metrics import Stopwatch
from effrl.packing import cut, size_of
from effrl.protocols import Labeller, Learner, Oracle, Rewards
from effrl.rescore import rescored
from effrl.reward.kinds import Terms
from effrl.reward.messages import ScoringTask
from effrl.reward.reading import membership
from effrl.reward.terms import shaped
from effrl.schedule import learning_rate
from effrl.seeds import derive
from effrl.types import (
    Group,
    Judged,
    Observation,
    Prompt,
    Publication,
    ReadGroup,
    Rollout,
    Score,
    ScoredGroup,
    Stored,
    Update,
)

if TYPE_CHECKING:
    from actors.scout import Scout


@dataclass
class Sampler:
    """Shares requests over the rollout workers, and gathers the results in the order of the requests."""

    workers: Mapping[str, Any]
    wait_s: float

    async def __call__(self, requests: Sequence[SampleRequest]) -> list[Sampled]:
        names = list(self.workers)
        shares = {name: list(requests[index :: len(names)]) for index, name in enumerate(names)}
        refs = {name: self.workers[name].sample.remote(share) for name, share in shares.items() if share}
        results = dict(zip(refs, await answers(refs, self.wait_s, "rollouts"), strict=True))
        return [results[names[index % len(names)]][index // len(names)] for index in range(len(requests))]


@dataclass
class RolloutService:
    """Selects prompts and rolls them out; with ``max_staleness``, the next step's while this one is learned.

    A publication waits in each engine until what runs there is finished. So what was sampled ahead is of one version,
    and when it is learned, the policy has moved on by at most one.
    """

    data: Any
    sampler: Sampler
    config: Config
    attempt: int
    clock: Stopwatch
    scout: "Scout"
    _ahead: dict[int, asyncio.Task[list[Group]]] = field(default_factory=dict)
    _serial: Any = field(default_factory=count)

    async def take(self, step: int, count: int) -> list[Group]:
        with self.clock.stage("rollout"):
            ahead = self._ahead.pop(step, None)
            groups = await (ahead or self._draw(step, count))
        if self.config.rollout.max_staleness and step < self.config.run.steps and step + 1 not in self._ahead:
            self._ahead[step + 1] = asyncio.create_task(self._draw(step + 1, self.config.fresh_at(step + 1)))
        return groups

    async def cancel(self) -> None:
        """Give up what runs ahead. Its prompts are not lost: no step committed them, so a resume draws them again."""
        for task in self._ahead.values():
            task.cancel()
        await asyncio.gather(*self._ahead.values(), return_exceptions=True)
        self._ahead.clear()

    async def _draw(self, step: int, count: int) -> list[Group]:
        scouted = await self.scout(step)
        chosen = self.data.select.remote(step, count)
        prompts = await answer(chosen, self.config.cluster.wait_s, "selection", "data")
        new = iter(await self.sampler([self._request(step, prompt) for prompt in prompts if prompt.id not in scouted]))
        sampled = [scouted[prompt.id] if prompt.id in scouted else next(new) for prompt in prompts]
        if scouted:
            self.scout.reused(step, [scouted[prompt.id] for prompt in prompts if prompt.id in scouted])
        return [self._group(step, *entry) for entry in zip(prompts, sampled, strict=True)]

    def _group(self, step: int, prompt: Prompt, sampled: Sampled) -> Group:
        return Group(f"{self.attempt}/{step}/{next(self._serial)}", prompt, sampled.prompt_ids, sampled.rollouts)

    def _request(self, step: int, prompt: Prompt) -> SampleRequest:
        rollout, seed = self.config.rollout, self.config.run.seed
        seeds = tuple(derive(seed, "train", step, prompt.id, n) for n in range(rollout.per_prompt))
        return SampleRequest(prompt, seeds, rollout.max_tokens, rollout.temperature, rollout.stop)


@dataclass
class OracleService:
    """Buys labels from the oracle actor."""

    actor: Any
    wait_s: float

    async def buy(self, step: int, prompt_ids: Sequence[str]) -> list[str | None]:
        return await answer(self.actor.buy.remote(step, prompt_ids), self.wait_s, "labels", "oracle")

    async def owned(self, prompt_ids: Sequence[str]) -> list[str | None]:
        return await answer(self.actor.owned.remote(prompt_ids), self.wait_s, "owned labels", "oracle")


@dataclass
class TimedLabeller:
    """The run's labeller, with its time on the clock."""

    labeller: Labeller
    clock: Stopwatch

    async def assign(self, step: int, groups: Sequence[ReadGroup]) -> Sequence[Judged]:
        with self.clock.stage("label"):
            return await self.labeller.assign(step, groups)


@dataclass
class RewardService:
    """Reads and scores rollouts in the reward actor."""

    actor: Any
    clock: Stopwatch
    wait_s: float
    terms: Terms
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
        texts = [(tuple(rollout.text for rollout in group.rollouts), group.prompt.meta) for group in groups]
        read = await answer(self.actor.read.remote(texts), self.wait_s, "answers", "reward")
        return [ReadGroup(group, *found) for group, found in zip(groups, read, strict=True)]

    async def score(self, groups: Sequence[tuple[Group, str | None]]) -> list[tuple[Score, ...]]:
        """One score per rollout of each (group, label)."""
        tasks = [_task(group.prompt, rollout, label) for group, label in groups for rollout in group.rollouts]
        scores = iter(await answer(self.actor.score.remote(tasks), self.wait_s, "scores", "reward"))
        return [tuple(next(scores) for _ in group.rollouts) for group, _ in groups]


@dataclass
class ReplayService:
    """Draws groups of earlier steps from the data actor; what was voted on then has its label where it is owned now."""

    data: Any
    oracle: Oracle
    rewards: Rewards
    wait_s: float

    async def draw(self, step: int, count: int) -> list[Stored]:
        if not count:
            return []
        drawn = await answer(self.data.replay.remote(step, count), self.wait_s, "groups to replay", "data")
        return await rescored(drawn, self.oracle, self.rewards)


def _task(prompt: Prompt, rollout: Rollout, label: str | None) -> ScoringTask:
    return ScoringTask(rollout.text, label, prompt.meta, truncated=rollout.finish_reason == "length")


@dataclass
class LearnerService:
    """Takes optimizer steps; knows the policy version, which goes up by one per batch, however many updates it has."""

    group: LearnerGroup
    config: Config
    version: int
    clock: Stopwatch

    async def step(self, batch: Batch) -> Update:
        updates = batch.updates(self.config.learn.updates)
        staleness = self.version - min(rollout.version_min for rollout in batch.rollouts())
        if not 0 <= staleness <= self.config.rollout.max_staleness:
            raise RunError(
                f"step {batch.step} was sampled {staleness} versions ago,"
                f" and rollout.max_staleness is {self.config.rollout.max_staleness}"
            )
        if not updates:
            return Update(batch.step, self.version, False, {"policy/staleness_max": staleness})
        with self.clock.stage("learn"):
            canary = choose([sequence for update in updates for sequence in update])
            before = await self.group.first("logprobs", canary)
            metrics = await self._learn(batch.step, updates)
        self.version += 1
        metrics = {**metrics, "policy/staleness_max": staleness}
        return Update(batch.step, self.version, True, metrics, canary, before)

    async def _learn(self, step: int, updates: Sequence[Sequence[types.Sequence]]) -> dict[str, float]:
        learn, ranks = self.config.learn, len(self.group.ranks)
        cuts = [cut(update, ranks, learn.micro_batch_tokens) for update in updates]
        shares = list(zip(*cuts, strict=True))  # per rank: its micro-batches of each update
        sizes = [size_of(update, self.config.loss.reduce, self.config.rollout.max_tokens) for update in updates]
        rate = learning_rate(learn, step, self.config.run.steps)
        metrics = await self.group.scatter("step", shares, sizes, rate)
        tokens = sum(size.tokens for size in sizes)
        return {**metrics, "learn/tokens": tokens, "learn/updates": len(updates), "learn/lr": rate}


@dataclass
class TakingTurns:
    """A learner on the GPU of an engine, which sleeps while the learner works; a publish wakes it."""

    learner: Learner
    workers: Mapping[str, Any]
    wait_s: float

    async def step(self, batch: Batch) -> Update:
        await answers({name: worker.sleep.remote() for name, worker in self.workers.items()}, self.wait_s, "sleep")
        update = await self.learner.step(batch)
        if not update.learned:  # nothing will be published
            await wake(self.workers, "weights", self.wait_s)
            await wake(self.workers, "kv_cache", self.wait_s)
        return update


@dataclass
class WeightService:
    """Publishes what was learned."""

    sync: WeightSync
    clock: Stopwatch

    async def publish(self, update: Update) -> Publication | None:
        with self.clock.stage("publish"):
            return await self.sync.publish(update)


async def observe(data: Any, batch: Batch, replay: bool, wait_s: float) -> dict[str, float]:
    """Tell the data actor the outcomes of a step, groups without signal included; returns its metrics.

    With ``replay`` it gets the groups themselves, with all tokens.
    """
    seen = [
        Observation(scored.group.prompt, float(sum(outcomes)), len(outcomes))
        for scored in (settled.scored for settled in batch.settled)
        if (outcomes := [score.outcome for score in scored.scores if score.outcome is not None])
    ]
    settled = batch.settled if replay else []
    return await answer(data.observe.remote(batch.step, seen, settled), wait_s, "feedback", "data")


async def memory(actors: Mapping[str, Any], wait_s: float) -> dict[str, float]:
    """Resident memory of every actor, in MiB."""
    refs = {name: actor.rss_mb.remote() for name, actor in actors.items()}
    sizes = await answers(refs, wait_s, "memory")
    return {f"memory/rss_mb/{name}": size for name, size in zip(refs, sizes, strict=True)}
