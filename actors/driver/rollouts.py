"""Rolls out the prompts of a step; with ``max_staleness``, those of later steps while this one is learned."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np

from actors.driver.ahead import RunningAhead, Start
from actors.driver.sampler import Sampler
from actors.driver.scout import Scout
from actors.driver.screen import Screen
from actors.rollout.sampling import Sampled, SampleRequest
from actors.wait import answer
from effrl.config.schema import Config
from effrl.run.metrics import Stopwatch
from effrl.seeds import derive
from effrl.types import Group, Pick, Rollout, Step

RequestKey = tuple[str, tuple[int, ...]]
"""Prompt id and seeds: within a step they say all that an engine makes of a request."""


@dataclass
class RolloutService:
    """Selects prompts and rolls them out; with ``max_staleness``, those of later steps while this one is learned.

    With staleness, each group is sampled by itself, and a step takes those that are finished first. The longest hold up
    nobody: they go on with the new weights when a version is published. What no step may learn from any more is stale.
    A refill takes what is under way for later steps.

    Without staleness, whole batches are sampled, each by one version. The engine samples beside a step's first draw
    what its refills are likely to be: the next prompts of the selector, as many as the step before had refills. A
    refill that turns out to be another is sampled as ever, so this changes no decision; but most of them need no decode
    of their own, which takes as long for a few groups as for many. With ``screen`` nothing is: most of what it would
    save are rollouts of groups without signal.
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
    _ahead: RunningAhead = field(init=False)
    _step: Step | None = None
    """That rollouts were taken for last."""
    _taken: list[Group] = field(default_factory=list)
    """With staleness: what the step learns from."""
    stale: list[Group] = field(default_factory=list)
    """What came too late for the step; a commit takes it from here."""
    _serial: Any = field(default_factory=count)
    _screen: Screen = field(init=False)
    _sampled: Counter[tuple[int, str]] = field(default_factory=Counter)
    """Rollouts that a step has asked for of a prompt: a refill that draws it again gets others."""

    def __post_init__(self) -> None:
        self._screen = Screen(self.sampler, self.scout, self.config.rollout.screen)
        self._ahead = RunningAhead(self._begin)

    async def take(self, step: Step, count: int) -> list[Group]:
        with self.clock.stage("rollout"):
            return await (self._take if self.config.rollout.max_staleness else self._draw)(step, count)

    async def _take(self, step: Step, count: int) -> list[Group]:
        """The groups that are finished first, of those that the step may learn from."""
        staleness = self.config.rollout.max_staleness
        of_this_stage = self._step is not None and self._step.stage == step.stage
        late = self._ahead.too_old(self.sampler.serves - staleness if of_this_stage else self.sampler.serves + 1)
        if late:
            await self._tell("give_up", [group.prompt.id for group in late])
        self.stale, self._step = self.stale + late, step
        later = range(step.place + 1, min(step.place + staleness, step.of) + 1)
        further = self._ahead.reach.groups(sum(self.config.fresh_at(place) for place in later))
        taken = await self._ahead.take(count, further)
        self._taken += taken
        return taken

    async def cancel(self) -> dict[int, list[Group]]:
        """Give up what runs ahead. Its prompts are not lost: no step committed them, so a resume draws them again.

        Returns:
            The groups among it that were finished, by the step that would have come: they have cost what any other
            group costs.
        """
        finished = await self._ahead.cancel()
        return {self._step.number + 1: finished} if self._step is not None and finished else {}

    def committed(self, step: int) -> dict[str, float]:
        """Close a step; what looking ahead for it cost, and what was sampled for refills that did not come.

        ``rollout/workers_lost`` counts the workers that were lost since the step before.
        """
        unused = sum(len(rollout.token_ids) for sampled in self._spare.values() for rollout in sampled.rollouts)
        self.refills, self._draws, self._spare = sum(self._draws[1:]), [], {}
        lost, self.sampler.lost = self.sampler.lost, 0
        counted = {"rollout/unused_tokens": unused, "rollout/workers_lost": lost}
        return {**self.scout.metrics(step), **self._screen.metrics(step), **counted, **self._ahead_metrics()}

    def _ahead_metrics(self) -> dict[str, float]:
        """Of a step with staleness: what came too late for it, and whether that was longer than what did not."""
        if not self.config.rollout.max_staleness:
            return {}
        taken, late = _lengths(self._taken), _lengths(self.stale)
        self._ahead.reach.learned(len(self._taken), len(self.stale))
        self._taken, self.stale = [], []
        started = taken + late
        return {
            "rollout/stale": len(late),
            "rollout/stale_tokens": sum(late),
            "rollout/length_mean": sum(taken) / max(1, len(taken)),
            "rollout/length_started": sum(started) / max(1, len(started)),
            "rollout/ahead_share": self._ahead.reach.share,
        }

    async def _begin(self, count: int) -> list[Start]:
        """Choose prompts for the step of the moment, to be sampled one by one."""
        step = self._step
        assert step is not None, "rollouts were taken"
        picks, scouted = await self._choose(step, count)
        known = [scouted[pick.prompt.id] if _known(pick, scouted) else None for pick in picks]
        return [self._start(step, *entry) for entry in zip(picks, known, strict=True)]

    def _start(self, step: Step, pick: Pick, known: Sampled | None) -> Start:
        serves = self.sampler.serves
        nothing = self._group(step, pick, Sampled(np.empty(0, np.int32), (Rollout.lost(serves),) * pick.rollouts))
        request = None if known else self._claimed(step, pick)

        async def sampling() -> Group:
            sampled = known if request is None else (await self._screen(step, [request]))[0]
            assert sampled is not None, "it was known, or sampled"
            return replace(nothing, prompt_ids=sampled.prompt_ids, rollouts=sampled.rollouts)

        return Start(nothing, serves, sampling())

    async def _choose(self, step: Step, count: int) -> tuple[list[Pick], Mapping[str, Sampled]]:
        """Prompts for a step, and what the scout has sampled on the way, by prompt id; what is reused counts so."""
        scouted = await self.scout(step)
        picks = await self._ask("select", count)
        if scouted:
            self.scout.reused(step.number, [scouted[pick.prompt.id] for pick in picks if _known(pick, scouted)])
        return picks, scouted

    async def _draw(self, step: Step, count: int) -> list[Group]:
        picks, scouted = await self._choose(step, count)
        requests = [self._claimed(step, pick) for pick in picks if not _known(pick, scouted)]
        spare = [self._request(step, pick) for pick in await self._likely_refills() if not _known(pick, scouted)]
        self._draws.append(count)
        new = iter(await self._sample(step, requests, spare))
        sampled = [scouted[pick.prompt.id] if _known(pick, scouted) else next(new) for pick in picks]
        return [self._group(step, *entry) for entry in zip(picks, sampled, strict=True)]

    async def _likely_refills(self) -> list[Pick]:
        rollout = self.config.rollout
        if self._draws or not self.refills or rollout.screen:
            return []
        return await self._ask("upcoming", self.refills)

    async def _ask(self, method: str, *arguments: int) -> list[Pick]:
        picks: list[Pick] = await self._tell(method, *arguments)
        return picks

    async def _tell(self, method: str, *arguments: Any) -> Any:
        called = getattr(self.data, method).remote(*arguments)
        return await answer(called, self.config.cluster.wait_s, "selection", "data")

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


def _lengths(groups: Sequence[Group]) -> list[int]:
    """Tokens of the rollouts that were finished."""
    return [len(rollout.token_ids) for group in groups for rollout in group.rollouts if not rollout.failed]


def _known(pick: Pick, scouted: Mapping[str, Sampled]) -> bool:
    """Whether the scout has sampled just what the pick asks for."""
    return pick.prompt.id in scouted and len(scouted[pick.prompt.id].rollouts) == pick.rollouts
