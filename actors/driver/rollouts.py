"""Rolls out the prompts of a step; with ``max_staleness``, those of the next while this one is learned."""

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from actors.rollout.sampling import Sampled, SampleRequest
from actors.wait import answer
from effrl.config.schema import Config
from effrl.run.metrics import Stopwatch
from effrl.seeds import derive
from effrl.types import (
    Group,
    Prompt,
)

if TYPE_CHECKING:
    from actors.driver.scout import Scout
from actors.rollout.sampling import Sampler


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
