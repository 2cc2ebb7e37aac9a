"""Evaluation: samples of held-out prompts, compared with labels that reach nothing but metrics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from actors.cluster import Cluster
from actors.driver.judging import judged
from actors.driver.sampler import Sampler
from actors.reward.service import RewardService
from actors.rollout.sampling import SampleRequest
from actors.wait import answer
from effrl.config.schema import Config
from effrl.data.reader import read
from effrl.evaluation import Graded, metrics
from effrl.preflight.check import Measurable
from effrl.preflight.judge import Judge
from effrl.run.metrics import Stopwatch
from effrl.seeds import derive
from effrl.types import Group, Prompt, Step


def held_out(config: Config) -> dict[str, list[Prompt]]:
    """The prompts of every evaluation set."""
    data = config.data
    return {
        name: [row.prompt for row in islice(read(source, data.form), config.eval.prompts)]
        for name, source in data.held_out.items()
    }


@dataclass
class Evaluation:
    """Grades the policy that is served."""

    sets: Mapping[str, Sequence[Prompt]]
    sampler: Sampler
    rewards: RewardService
    oracle: Any
    config: Config
    clock: Stopwatch

    async def __call__(self, step: Step) -> dict[str, float]:
        """Metrics where an evaluation is due: at step 0, every ``eval.every`` steps, and at the end of a stage."""
        due = step.number % self.config.eval.every == 0 or step.place == step.of or step.number == self.config.run.steps
        return metrics(await self.grade(), self.config) if due and self.sets else {}

    async def grade(self, tell: Callable[[str], None] = lambda _: None) -> dict[str, list[Graded]]:
        """Every set, one after the other: what is measured on one does not depend on which others there are.

        Args:
            tell: is told the set that is next, and its size.
        """
        graded = {}
        with self.clock.stage("eval"):
            for name, prompts in self.sets.items():
                tell(f"{name}: {len(prompts):,} prompts x {self.config.eval.per_prompt} samples")
                graded[name] = await self._grade_set(name)
        return graded

    async def sample(self, name: str) -> list[Group]:
        """The samples of one set."""
        prompts = self.sets[name]
        sampled = await self.sampler([self._request(prompt) for prompt in prompts])
        return [
            Group(f"eval/{prompt.id}", prompt, result.prompt_ids, result.rollouts, "eval")
            for prompt, result in zip(prompts, sampled, strict=True)
        ]

    async def _grade_set(self, name: str) -> list[Graded]:
        """One set: its samples, and what they are worth."""
        prompts, groups = self.sets[name], await self.sample(name)
        asked = self.oracle.monitor.remote(name, [prompt.id for prompt in prompts])
        labels = await answer(asked, self.config.cluster.wait_s, "held-out labels", "oracle")
        scores = await self.rewards.score(list(zip(groups, labels, strict=True)))
        return [Graded(*entry) for entry in zip(await self.rewards.answers(groups), labels, scores, strict=True)]

    def _request(self, prompt: Prompt) -> SampleRequest:
        """The seeds are the same at every evaluation: what changes between two of them is the policy."""
        config = self.config
        seeds = tuple(derive(config.run.seed, "eval", prompt.id, n) for n in range(config.eval.per_prompt))
        return SampleRequest(prompt, seeds, config.eval_max_tokens, config.eval_temperature, config.rollout.stop)


async def evaluate(
    config: Config, found: Measurable, cluster: Cluster, tell: Callable[[str], None], judge: Judge | None = None
) -> dict[str, list[Graded]]:
    """Grade a model on every set, and have its samples judged; the other arguments are those of :func:`started`."""
    evaluation = await started(config, found, cluster, tell)
    graded = await evaluation.grade(tell)
    return graded if judge is None else await judged(graded, judge, cluster, tell)


async def started(config: Config, found: Measurable, cluster: Cluster, tell: Callable[[str], None]) -> Evaluation:
    """An evaluation with actors of its own, which are the caller's to stop.

    Args:
        cluster: one that is not learning.
        tell: is told what is waited for.
    """
    tell("starting the engines")
    await cluster.start(found.model.path, found.model.path, found.context, version=0)
    clock, wait_s = Stopwatch(), config.cluster.wait_s
    rewards = RewardService(cluster.reward, clock, wait_s, config.reward, config.eval_max_tokens)
    sampler = Sampler(cluster.rollout, wait_s)
    return Evaluation(held_out(config), sampler, rewards, cluster.oracle, config, clock)
