"""Rolls out the prompts of a step; with ``max_staleness``, those of the next while this one is learned."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from actors.driver.sampler import Sampler
from actors.driver.scout import Scout
from actors.driver.screen import Screen
from actors.rollout.sampling import Sampled, SampleRequest
from actors.wait import answer
from effrl.config.schema import Config
from effrl.run.metrics import Stopwatch
from effrl.seeds import derive
from effrl.types import Group, Pick, Step

RequestKey = tuple[str, tuple[int, ...]]
"""Prompt id and seeds: within a step they say all that an engine makes of a request."""


@dataclass
class RolloutService:
    """Selects prompts and rolls them out; with ``max_staleness``, the next step's while this one is learned.

    A publication waits in each engine until what runs there is finished. So what was sampled ahead is of one version
    (with ``screen``, the rest of a group may be of the next), and when it is learned, the policy has moved on by at
    most one.

    Without staleness, the engine samples beside a step's first draw what its refills are likely to be: the next prompts
    of the selector, as many as the step before had refills. A refill that turns out to be another is sampled as ever,
    so this changes no decision; but most of them need no decode of their own, which takes as long for a few groups as
    for many. With ``screen`` nothing is: most of what it would save are rollouts of groups without signal.
    """

    data: Any
    sampler: Sampler
    config: Config
    attempt: int
    clock: Stopwatch
    scout: Scout
    refills: int = 0
    """Groups that the step before drew besides its first draw."""
    _draws: list[int] = field(default_factory=list)
    """Groups of each draw of this step."""
    _spare: dict[RequestKey, Sampled] = field(default_factory=dict)
    """What was sampled for refills, and was not asked for yet."""
    _ahead: dict[int, asyncio.Task[list[Group]]] = field(default_factory=dict)
    _serial: Any = field(default_factory=count)
    _screen: Screen = field(init=False)
    _sampled: Counter[tuple[int, str]] = field(default_factory=Counter)
    """Rollouts that a step has asked for of a prompt: a refill that draws it again gets others."""

    def __post_init__(self) -> None:
        self._screen = Screen(self.sampler, self.scout, self.config.rollout.screen)

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

    def committed(self, step: int) -> dict[str, float]:
        """Close a step; what looking ahead for it cost, and what was sampled for refills that did not come.

        ``rollout/workers_lost`` counts the workers that were lost since the step before.
        """
        unused = sum(len(rollout.token_ids) for sampled in self._spare.values() for rollout in sampled.rollouts)
        self.refills, self._draws, self._spare = sum(self._draws[1:]), [], {}
        lost, self.sampler.lost = self.sampler.lost, 0
        counted = {"rollout/unused_tokens": unused, "rollout/workers_lost": lost}
        return {**self.scout.metrics(step), **self._screen.metrics(step), **counted}

    async def _draw(self, step: Step, count: int) -> list[Group]:
        scouted = await self.scout(step)
        picks = await self._ask("select", step.number, count)
        requests = [self._claimed(step, pick) for pick in picks if not _known(pick, scouted)]
        spare = [self._request(step, pick) for pick in await self._likely_refills() if not _known(pick, scouted)]
        self._draws.append(count)
        new = iter(await self._sample(step, requests, spare))
        sampled = [scouted[pick.prompt.id] if _known(pick, scouted) else next(new) for pick in picks]
        if scouted:
            self.scout.reused(step.number, [scouted[pick.prompt.id] for pick in picks if _known(pick, scouted)])
        return [self._group(step, *entry) for entry in zip(picks, sampled, strict=True)]

    async def _likely_refills(self) -> list[Pick]:
        rollout = self.config.rollout
        if self._draws or not self.refills or rollout.max_staleness or rollout.screen:
            return []
        return await self._ask("upcoming", self.refills)

    async def _ask(self, method: str, *arguments: int) -> list[Pick]:
        picks: list[Pick] = await answer(
            getattr(self.data, method).remote(*arguments), self.config.cluster.wait_s, "selection", "data"
        )
        return picks

    async def _sample(
        self, step: Step, requests: Sequence[SampleRequest], spare: Sequence[SampleRequest]
    ) -> list[Sampled]:
        """What was asked for, sampled now or before; ``spare`` is sampled besides and kept."""
        asked = [request for request in requests if _key(request) not in self._spare]
        results = await self._screen(step, [*asked, *spare])
        self._spare |= {_key(request): found for request, found in zip([*asked, *spare], results, strict=True)}
        return [self._spare.pop(_key(request)) for request in requests]

    def _group(self, step: Step, pick: Pick, sampled: Sampled) -> Group:
        name = f"{self.attempt}/{step.number}/{next(self._serial)}"
        return Group(name, pick.prompt, sampled.prompt_ids, sampled.rollouts)

    def _claimed(self, step: Step, pick: Pick) -> SampleRequest:
        """The request of a pick, whose seeds the step asks for no second time."""
        request = self._request(step, pick)
        self._sampled[step.number, pick.prompt.id] += pick.rollouts
        return request

    def _request(self, step: Step, pick: Pick) -> SampleRequest:
        rollout, key = self.config.rollout, (step.number, pick.prompt.id)
        numbers = range(self._sampled[key], self._sampled[key] + pick.rollouts)
        seeds = tuple(derive(self.config.run.seed, "train", *key, number) for number in numbers)
        return SampleRequest(pick.prompt, seeds, rollout.max_tokens, rollout.temperature, rollout.stop)


def _key(request: SampleRequest) -> RequestKey:
    return request.prompt.id, request.seeds


def _known(pick: Pick, scouted: Mapping[str, Sampled]) -> bool:
    """Whether the scout has sampled just what the pick asks for."""
    return pick.prompt.id in scouted and len(scouted[pick.prompt.id].rollouts) == pick.rollouts
