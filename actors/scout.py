"""The scout: finds out what a selector asks about prompts, with the policy of the moment, before it chooses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actors.sampling import Sampled, SampleRequest
from actors.services import OracleService, RewardService, Sampler
from actors.wait import answer
from effrl.config import Config
from effrl.kinds import GoldLabel
from effrl.metrics import Stopwatch
from effrl.protocols import Look
from effrl.seeds import derive
from effrl.types import Group, Prompt, ReadGroup, Score


@dataclass
class Scout:
    """Answers the looks of the data actor's selector."""

    data: Any
    sampler: Sampler
    rewards: RewardService
    oracle: OracleService
    config: Config
    clock: Stopwatch
    _metrics: dict[int, dict[str, float]] = field(default_factory=dict)

    async def __call__(self, step: int) -> Mapping[str, Sampled]:
        """Find out what the selector asks before ``step``, and tell it.

        Returns:
            What was sampled for that, by prompt id: rollouts like any other, should their prompts be chosen.
        """
        wait_s = self.config.cluster.wait_s
        look: Look | None = await answer(self.data.look.remote(step), wait_s, "what it wants to know", "data")
        if look is None:
            return {}
        with self.clock.stage("scout"):
            sampled = await self._sample(step, look.prompts)
            found = await self._pass_rates(step, look.prompts, list(sampled.values()))
            await answer(self.data.saw.remote(step, found), wait_s, "what the scout found", "data")
        rollouts = [rollout for result in sampled.values() for rollout in result.rollouts]
        self._metrics[step] = {
            "scout/prompts": len(look.prompts),
            "scout/rollouts": len(rollouts),
            "scout/tokens": sum(len(rollout.token_ids) for rollout in rollouts),
            "scout/reused": 0,
        }
        return sampled

    def reused(self, step: int, rollouts: int) -> None:
        """So many of the scout's rollouts became training rollouts of the step, which count them too."""
        self._metrics[step]["scout/reused"] += rollouts

    def metrics(self, step: int) -> dict[str, float]:
        """What looking ahead for a step cost; nothing where nothing was looked at."""
        return self._metrics.pop(step, {})

    async def _sample(self, step: int, prompts: Sequence[Prompt]) -> dict[str, Sampled]:
        results = await self.sampler([self._request(step, prompt) for prompt in prompts])
        return {prompt.id: result for prompt, result in zip(prompts, results, strict=True)}

    def _request(self, step: int, prompt: Prompt) -> SampleRequest:
        rollout = self.config.rollout
        seeds = tuple(derive(self.config.run.seed, "scout", step, prompt.id, n) for n in range(rollout.per_prompt))
        return SampleRequest(prompt, seeds, rollout.max_tokens, rollout.temperature, rollout.stop)

    async def _pass_rates(self, step: int, prompts: Sequence[Prompt], sampled: Sequence[Sampled]) -> dict[str, float]:
        """By prompt id: the mean outcome against a label that is owned; the vote's share where none is.

        With ``label.kind: gold`` every label is bought, as it is for training. All other labellers have better uses
        for their budget than references.
        """
        groups = [
            Group(f"scout/{prompt.id}", prompt, result.prompt_ids, result.rollouts, "scout")
            for prompt, result in zip(prompts, sampled, strict=True)
        ]
        ids = [prompt.id for prompt in prompts]
        buys = isinstance(self.config.label, GoldLabel)
        labels = await (self.oracle.buy(step, ids) if buys else self.oracle.owned(ids))
        graded = [(group, label) for group, label in zip(groups, labels, strict=True) if label is not None]
        voted = [group for group, label in zip(groups, labels, strict=True) if label is None]
        scores = zip((group.prompt.id for group, _ in graded), await self.rewards.score(graded), strict=True)
        rates = {name: rate for name, group in scores if (rate := mean_outcome(group)) is not None}
        return {**rates, **{read.group.prompt.id: vote_share(read) for read in await self.rewards.answers(voted)}}


def mean_outcome(scores: Sequence[Score]) -> float | None:
    """Of the rollouts that could be scored; None where there are none."""
    outcomes = [score.outcome for score in scores if score.outcome is not None]
    return sum(outcomes) / len(outcomes) if outcomes else None


def vote_share(read: ReadGroup) -> float:
    """Share of the rollouts that gave the majority's answer; 0 where none gave any."""
    return read.size(0) / len(read.clusters)
