"""The scout: finds out what a selector asks about prompts, with the policy of the moment, before it chooses."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from actors.driver.certainty import CHUNK, Aim, Certainty, CertaintyService, nothing_scored, of_sample
from actors.driver.sampler import Sampler
from actors.reward.service import RewardService
from actors.rollout.sampling import Sampled, SampleRequest
from actors.wait import answer
from effrl.chunks import chunks
from effrl.config.schema import Config
from effrl.config.select import Target, TargetForm
from effrl.protocols import LookAhead, Oracle
from effrl.questions import Label, Question, Reply, Standing
from effrl.run.metrics import Stopwatch
from effrl.seeds import derive
from effrl.select.ufo.records import ScoreRecords
from effrl.select.ufo.target import target_of
from effrl.types import LOOK_AHEAD, Group, Prompt, ReadGroup, Score, Step


@dataclass
class Scout:
    """Answers the looks of the data actor's selector."""

    data: Any
    sampler: Sampler
    rewards: RewardService
    oracle: Oracle
    config: Config
    form: TargetForm
    """What certainties are of."""
    clock: Stopwatch
    certainty: CertaintyService
    records: ScoreRecords
    may_buy: bool = True
    """False where prompts are drawn that have no label to be bought: those that the model labels itself."""
    _metrics: dict[int, Counter[str]] = field(default_factory=dict)
    """By step; what runs ahead may look for a step that is committed meanwhile."""

    async def __call__(self, step: Step) -> Mapping[str, Sampled]:
        """Find out what the selector asks before ``step``, and tell it.

        Returns:
            What was sampled for that, by prompt id: rollouts like any other, should their prompts be chosen.
        """
        wait_s = self.config.cluster.wait_s
        request: LookAhead | None = await answer(
            self.data.request.remote(step.number), wait_s, "what it wants to know", "data"
        )
        if request is None:
            return {}
        with self.clock.stage("scout"):
            if request.what == "certainty":
                sampled, cost = await self._look_for_certainties(step, request.prompts)
            elif request.what == "perplexity":
                sampled, cost = {}, await self._look_for_perplexities(step, request.prompts)
            else:
                sampled, cost = await self._in_chunks(step, request.prompts), {}
                rates = await self.pass_rates(step, groups_of(request.prompts, list(sampled.values())))
                found = zip(sampled, rates, strict=True)
                await self._tell(step, {name: rate for name, rate in found if rate is not None})
        rollouts, tokens = _size(sampled.values())
        counted = {"scout/prompts": len(request.prompts), "scout/rollouts": rollouts, "scout/tokens": tokens}
        self._count(step.number, {**cost, **counted, "scout/reused": 0})
        return sampled

    def _count(self, step: int, more: Mapping[str, int]) -> None:
        self._metrics.setdefault(step, Counter()).update(more)

    def reused(self, step: int, sampled: Sequence[Sampled]) -> None:
        """These became training rollouts of the step, and count as such: nothing was spent on looking alone."""
        rollouts, tokens = _size(sampled)
        self._count(step, {"scout/rollouts": -rollouts, "scout/tokens": -tokens, "scout/reused": rollouts})

    def metrics(self, step: int) -> dict[str, float]:
        """What looks ahead cost since the step before, until this one was done; nothing where there was none."""
        done = Counter[str]()
        for number in [number for number in self._metrics if number <= step]:
            done.update(self._metrics.pop(number))
        return dict(done)

    async def _sample(self, step: Step, prompts: Sequence[Prompt], rollouts: int | None = None) -> dict[str, Sampled]:
        """So many rollouts of each prompt, those of a group by default."""
        count = rollouts or self.config.rollout.per_prompt
        results = await self.sampler([self._request(step, prompt, count) for prompt in prompts])
        return {prompt.id: result for prompt, result in zip(prompts, results, strict=True)}

    def _request(self, step: Step, prompt: Prompt, count: int) -> SampleRequest:
        rollout = self.config.rollout
        seeds = tuple(derive(self.config.run.seed, "scout", step.number, prompt.id, n) for n in range(count))
        return SampleRequest(prompt, seeds, rollout.max_tokens, rollout.temperature, rollout.stop)

    async def pass_rates(self, step: Step, groups: Sequence[Group]) -> list[float | None]:
        """Of each group: the mean outcome against a label that is owned; the vote's share where none is; None where no
        rollout could be scored.

        With ``label.kind: gold`` every label is bought, as it is for training. All other labellers have better uses
        for their budget than references.
        """
        prompts = {group.prompt.id: group.prompt for group in groups}
        buys = self.may_buy and self.config.label.buys_all
        replies = await (self._buy(step, [*prompts.values()]) if buys else self._owned(step, [*prompts]))
        known = dict(zip(prompts, replies, strict=True))
        labels = [known[group.prompt.id] for group in groups]
        pairs = list(zip(groups, labels, strict=True))
        scores = iter(await self.rewards.score([(group, label) for group, label in pairs if label is not None]))
        read = iter(await self.rewards.answers([group for group, label in pairs if label is None]))
        return [vote_share(next(read)) if label is None else mean_outcome(next(scores)) for label in labels]

    async def _look_for_certainties(
        self, step: Step, prompts: Sequence[Prompt]
    ) -> tuple[dict[str, Sampled], dict[str, int]]:
        """Score the prompts' targets, tell the selector, and keep what was found with the run.

        Returns:
            What was sampled to find targets, and metrics of what the rest cost.
        """
        if self.form.target == "own_sample":
            sampled = await self._in_chunks(step, prompts, 1)
            version, found = _own(prompts, sampled, self.form)
            without_target, too_long = len(prompts) - len(found), 0
        else:
            aims, sampled = await self._aims(step, prompts, self.form.target)
            version, found = await self.certainty(aims, self.form)
            without_target, too_long = len(prompts) - len(aims), len(aims) - len(found)
        if not found:
            raise nothing_scored(len(prompts), without_target, too_long)
        reasons = await self._tell(step, {entry.aim.prompt.id: entry.value for entry in found})
        self.records.add(step.number, version, [(entry, reasons.get(entry.aim.prompt.id, {})) for entry in found])
        return sampled, {
            "scout/without_target": without_target,
            "scout/too_long": too_long,
            "scout/forwards": sum(entry.forward_tokens > 0 for entry in found),
            "scout/forward_tokens": sum(entry.forward_tokens for entry in found),
        }

    async def _look_for_perplexities(self, step: Step, prompts: Sequence[Prompt]) -> dict[str, int]:
        """Score the prompts' own texts, and tell the selector; returns metrics of what that cost."""
        found, tokens = await self.certainty.perplexities(prompts, self.config.data.form)
        await self._tell(step, found)
        return {"scout/forwards": len(found), "scout/forward_tokens": tokens}

    async def _aims(
        self, step: Step, prompts: Sequence[Prompt], target: Target
    ) -> tuple[list[Aim], dict[str, Sampled]]:
        """What to score of each prompt that has a target, and what was sampled to find that out.

        A label is bought where targets are labels. Where they are votes, one that is owned is better; the rest of the
        prompts are rolled out.
        """
        ids, votes = [prompt.id for prompt in prompts], target == "pseudo_answer"
        labels = await (self._owned(step, ids) if votes else self._buy(step, prompts))
        kind: Target = "final_answer" if votes else target
        told = [(prompt, target_of(kind, label, None), "gold") for prompt, label in zip(prompts, labels, strict=True)]
        unknown = [prompt for prompt, text, _ in told if text is None] if votes else []
        read, sampled = await self._polled(step, unknown)
        told += [(group.group.prompt, target_of(target, None, group.voted), "vote") for group in read]
        aims = {prompt.id: Aim(prompt, text, source) for prompt, text, source in told if text is not None}
        return [aims[prompt_id] for prompt_id in ids if prompt_id in aims], sampled

    async def _owned(self, step: Step, prompt_ids: Sequence[str]) -> list[str | None]:
        return _labels(await self.oracle.owned(step, prompt_ids))

    async def _buy(self, step: Step, prompts: Sequence[Prompt]) -> list[str | None]:
        """Labels of prompts, before the step's own decisions; None where there is none to be had at once."""
        if not self.may_buy:
            return await self._owned(step, [prompt.id for prompt in prompts])
        ahead = replace(step, stage=LOOK_AHEAD)
        replies = await self.oracle.buy(ahead, [Question(prompt) for prompt in prompts])
        return _labels(replies)

    async def _polled(self, step: Step, prompts: Sequence[Prompt]) -> tuple[list[ReadGroup], dict[str, Sampled]]:
        """Rollouts of prompts and their answers."""
        sampled = await self._in_chunks(step, prompts)
        read: list[ReadGroup] = []
        for part in chunks(prompts, CHUNK):
            read += await self.rewards.answers(groups_of(part, [sampled[prompt.id] for prompt in part]))
        return read, sampled

    async def _in_chunks(
        self, step: Step, prompts: Sequence[Prompt], rollouts: int | None = None
    ) -> dict[str, Sampled]:
        """Rollouts of so many prompts at a time that no wait lasts for a whole pool."""
        sampled: dict[str, Sampled] = {}
        for part in chunks(prompts, CHUNK):
            sampled |= await self._sample(step, part, rollouts)
        return sampled

    async def _tell(self, step: Step, found: Mapping[str, float]) -> Mapping[str, Mapping[str, float | bool]]:
        """Tell the selector; what it makes of each prompt comes back, if it says so."""
        wait_s = self.config.cluster.wait_s
        return await answer(self.data.receive.remote(step.number, found), wait_s, "what the scout found", "data")


def _own(prompts: Sequence[Prompt], sampled: Mapping[str, Sampled], form: TargetForm) -> tuple[int, list[Certainty]]:
    """The version that sampled, and one certainty per prompt; those that the engine failed are left out."""
    drawn = [(prompt, rollout) for prompt in prompts for rollout in sampled[prompt.id].rollouts if not rollout.failed]
    version = max((rollout.version_max for _, rollout in drawn), default=0)
    return version, [of_sample(prompt, rollout, form) for prompt, rollout in drawn]


def groups_of(prompts: Sequence[Prompt], sampled: Sequence[Sampled]) -> list[Group]:
    """One group per prompt, which may occur several times, to be read and scored without being learned from."""
    return [
        Group(f"scout/{place}/{prompt.id}", prompt, result.prompt_ids, result.rollouts, "scout")
        for place, (prompt, result) in enumerate(zip(prompts, sampled, strict=True))
    ]


def _size(sampled: Iterable[Sampled]) -> tuple[int, int]:
    """Rollouts, and their tokens."""
    rollouts = [rollout for result in sampled for rollout in result.rollouts]
    return len(rollouts), sum(len(rollout.token_ids) for rollout in rollouts)


def mean_outcome(scores: Sequence[Score]) -> float | None:
    """Of the rollouts that could be scored; None where there are none."""
    outcomes = [score.outcome for score in scores if score.outcome is not None]
    return sum(outcomes) / len(outcomes) if outcomes else None


def vote_share(read: ReadGroup) -> float:
    """Share of the rollouts that gave the majority's answer; 0 where none gave any."""
    return read.size(0) / len(read.clusters)


def _labels(known: Sequence[Reply | Standing]) -> list[str | None]:
    """The labels among what an oracle says; None for all else."""
    return [entry.answer if isinstance(entry, Label) else None for entry in known]
