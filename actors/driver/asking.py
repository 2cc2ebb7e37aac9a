"""Asks the policy about prompts of a pool, before a stage: rollouts like any others, from which nothing is learned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from actors.driver.certainty import of_sample
from actors.driver.sampler import Sampler
from actors.driver.scout import groups_of, vote_share
from actors.oracle.service import MonitorService
from actors.reward.service import RewardService
from actors.rollout.sampling import SampleRequest
from effrl.chunks import chunks
from effrl.config.schema import Config
from effrl.config.select import TargetForm
from effrl.label.easyrl.anchor import precisions
from effrl.label.easyrl.items import LabelledPool
from effrl.protocols import Oracle
from effrl.questions import Label, Question, Standing
from effrl.run.metrics import Stopwatch
from effrl.seeds import derive
from effrl.types import LOOK_AHEAD, Group, Prompt, ReadGroup, Rollout, Step

CHUNK = 256
"""Prompts that are sampled together: a full batch of an engine, and what a wait lasts for."""
OWN_SAMPLE = TargetForm("own_sample", "", "length")
"""How sure a model is of a whole answer of its own: prompts are compared, so a long answer must not count less."""


@dataclass
class PolicyAsks:
    """The :class:`~effrl.label.easyrl.pool_work.Asks` of a run; one policy version answers, since nothing is learned
    meanwhile."""

    sampler: Sampler
    rewards: RewardService
    oracle: Oracle
    monitor: MonitorService
    config: Config
    context: int
    """Longest prompt plus completion, in tokens."""
    clock: Stopwatch
    step: int = 0
    """Number of the step that comes next: what the ledger files purchases under."""

    async def sample(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], max_tokens: int | None
    ) -> list[Group]:
        rollout = self.config.rollout
        longest = max_tokens or rollout.max_tokens
        pairs = zip(prompts, seeds, strict=True)
        requests = [
            SampleRequest(prompt, tuple(own), longest, rollout.temperature, rollout.stop) for prompt, own in pairs
        ]
        with self.clock.stage("prepare"):
            return groups_of(prompts, await self.sampler(requests))

    async def read(self, groups: Sequence[Group]) -> list[ReadGroup]:
        with self.clock.stage("prepare"):
            return await self.rewards.answers(groups)

    async def fits(self, prompts: Sequence[Prompt], max_tokens: int | None) -> list[bool]:
        room = self.context - (max_tokens or self.config.rollout.max_tokens)
        rendered = await self.sampler.any("render", prompts, what="rendering prompts")
        return [len(ids) <= room for ids in rendered]

    async def owned(self, prompt_ids: Sequence[str]) -> Sequence[Standing]:
        """What is known of prompts' labels before the step that comes next."""
        return await self.oracle.owned(Step(self.step, LOOK_AHEAD, 1, 1), prompt_ids)

    async def judge(self, answered: Sequence[tuple[Prompt, str]]) -> list[bool | None]:
        """Which completions are right, by labels that are bought for that; None where there is none to be had."""
        prompts = [prompt for prompt, _ in answered]
        replies = await self.oracle.buy(Step(self.step, LOOK_AHEAD, 1, 1), [Question(prompt) for prompt in prompts])
        labels = [reply.answer if isinstance(reply, Label) else None for reply in replies]
        pairs = [(_written(*entry), label) for entry, label in zip(answered, labels, strict=True) if label is not None]
        scores = iter(await self.rewards.score(pairs))
        return [None if label is None else _is_right(next(scores)[0].outcome) for label in labels]

    async def precision(self, prompts: Mapping[str, Prompt], found: LabelledPool) -> dict[str, float]:
        """Share of right pseudo-labels of each tier, by labels that nobody bought: for reports alone."""
        if not self.monitor.on:
            return {}
        written = [_written(prompts[name], entry.text) for name, entry in found.labels.items()]
        right = await self.monitor.right([ReadGroup(group, ("",), (0,)) for group in written])
        tiers = precisions([*found.labels.values()], right)
        return {f"prepare/{tier}_precision": known.share for tier, known in tiers.items() if known.of}

    async def ease(
        self, prompts: Sequence[Prompt], by: Literal["column", "certainty", "pass_rate", "random"]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """How easy each prompt is for the policy, where the policy is to tell, and what asking has cost."""
        if by in ("column", "random"):
            return {}, {}
        count = 1 if by == "certainty" else self.config.rollout.per_prompt
        values: dict[str, float] = {}
        tokens = 0
        for part in chunks(prompts, CHUNK):
            seeds = [[derive(self.config.run.seed, "easy", prompt.id, n) for n in range(count)] for prompt in part]
            groups = await self.sample(part, seeds, None)
            tokens += sum(group.tokens for group in groups)
            if by == "certainty":
                values |= {group.prompt.id: _certainty(group) for group in groups if not group.rollouts[0].failed}
            else:
                values |= {read.group.prompt.id: vote_share(read) for read in await self.read(groups)}
        return values, {"prepare/easy_rollouts": count * len(prompts), "prepare/easy_tokens": tokens}


def _certainty(group: Group) -> float:
    return of_sample(group.prompt, group.rollouts[0], OWN_SAMPLE).value


def _is_right(outcome: float | None) -> bool | None:
    return None if outcome is None else outcome == 1.0


def _written(prompt: Prompt, text: str) -> Group:
    """A completion as a group, to be compared with a label."""
    nothing = np.empty(0, np.int32), np.empty(0, np.float32)
    return Group(f"pool/{prompt.id}", prompt, nothing[0], (Rollout(*nothing, text, "stop", 0, 0),), "scout")
