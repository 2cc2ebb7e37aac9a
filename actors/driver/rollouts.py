"""Rolls out the prompts of a step; with ``max_staleness``, those of the next while this one is learned."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from actors.driver.scout import Scout
from actors.rollout.sampling import Sampled, Sampler, SampleRequest
from actors.wait import answer
from effrl.config.schema import Config
from effrl.run.metrics import Stopwatch
from effrl.seeds import derive
from effrl.types import Group, Pick, Step


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
    scout: Scout
    _ahead: dict[int, asyncio.Task[list[Group]]] = field(default_factory=dict)
    _serial: Any = field(default_factory=count)
    _sampled: Counter[tuple[int, str]] = field(default_factory=Counter)
    """Rollouts that a step has asked for of a prompt: a refill that draws it again gets others."""

    async def take(self, step: Step, count: int) -> list[Group]:
        with self.clock.stage("rollout"):
            ahead = self._ahead.pop(step.number, None)
            groups = await (ahead or self._draw(step, count))
        self._run_ahead(step)
        return groups

    async def cancel(self) -> dict[int, list[Group]]:
        """Give up what runs ahead. Its prompts are not lost: no step committed them, so a resume draws them again.

        Returns:
            The groups among it that were finished, by step: they have cost what any other group costs.
        """
        given_up, self._ahead = self._ahead, {}
        for task in given_up.values():
            task.cancel()
        ended = await asyncio.gather(*given_up.values(), return_exceptions=True)
        pairs = zip(given_up, ended, strict=True)
        return {step: groups for step, groups in pairs if not isinstance(groups, BaseException)}

    def _run_ahead(self, step: Step) -> None:
        following = replace(step, number=step.number + 1, place=step.place + 1)
        if self.config.rollout.max_staleness and step.place < step.of and following.number not in self._ahead:
            drawing = self._draw(following, self.config.fresh_at(following.place))
            self._ahead[following.number] = asyncio.create_task(drawing)

    async def _draw(self, step: Step, count: int) -> list[Group]:
        scouted = await self.scout(step)
        chosen = self.data.select.remote(step.number, count)
        picks: list[Pick] = await answer(chosen, self.config.cluster.wait_s, "selection", "data")
        new = iter(await self.sampler([self._request(step, pick) for pick in picks if not _known(pick, scouted)]))
        sampled = [scouted[pick.prompt.id] if _known(pick, scouted) else next(new) for pick in picks]
        if scouted:
            self.scout.reused(step.number, [scouted[pick.prompt.id] for pick in picks if _known(pick, scouted)])
        return [self._group(step, *entry) for entry in zip(picks, sampled, strict=True)]

    def _group(self, step: Step, pick: Pick, sampled: Sampled) -> Group:
        name = f"{self.attempt}/{step.number}/{next(self._serial)}"
        return Group(name, pick.prompt, sampled.prompt_ids, sampled.rollouts)

    def _request(self, step: Step, pick: Pick) -> SampleRequest:
        rollout, key = self.config.rollout, (step.number, pick.prompt.id)
        first = self._sampled[key]
        self._sampled[key] += pick.rollouts
        numbers = range(first, first + pick.rollouts)
        seeds = tuple(derive(self.config.run.seed, "train", *key, number) for number in numbers)
        return SampleRequest(pick.prompt, seeds, rollout.max_tokens, rollout.temperature, rollout.stop)


def _known(pick: Pick, scouted: Mapping[str, Sampled]) -> bool:
    """Whether the scout has sampled just what the pick asks for."""
    return pick.prompt.id in scouted and len(scouted[pick.prompt.id].rollouts) == pick.rollouts
