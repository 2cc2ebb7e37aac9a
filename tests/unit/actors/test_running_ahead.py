"""Rollouts that run ahead of the learner, on a clock that jumps: an engine that sleeps, and a learner that sleeps."""

import asyncio
import random
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field
from statistics import mean
from typing import Any

import numpy as np
import pytest
from fake_actor import Method
from reads import step_of

from actors.driver.ahead import Reach
from actors.driver.rollouts import RolloutService
from actors.driver.sampler import Sampler
from actors.driver.scout import Scout
from actors.rollout.sampling import Sampled, SampleRequest
from effrl.config.schema import Config
from effrl.run.metrics import Stopwatch
from effrl.types import Group, Pick, Prompt, Rollout
from tests.unit.actors import virtual_time

PROMPTS = 8
LEARN_S = 60.0
"""Of a step; a token takes a second, and a prompt 50 on average."""


@dataclass
class Ref:
    kept: "Future[Any]"

    def future(self) -> "Future[Any]":
        return self.kept


@dataclass
class Cluster:
    """A data actor and an engine that has room for everybody. Some prompts have answers of many tokens."""

    long_share: float = 0.1
    long: int = 250
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    version: int = 0
    handed_out: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    lengths: dict[str, int] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    running: dict[str, list[tuple["Future[Any]", asyncio.TimerHandle]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = type("Data", (), {})()
        self.data.select, self.data.give_up = Method(self._select), Method(self.given_up.extend)
        self.data.request = Method(lambda step: None)
        self.worker = type("Worker", (), {})()
        self.worker.sample = type("Call", (), {"remote": staticmethod(self._sample)})
        self.worker.abort = type("Call", (), {"remote": staticmethod(self._abort)})

    def _select(self, count: int) -> list[Pick]:
        names = [f"p{len(self.handed_out) + n}" for n in range(count)]
        self.handed_out += names
        for name in names:
            self.lengths[name] = self.long if self.chance.random() < self.long_share else self.chance.randint(10, 50)
        return [Pick(Prompt(name, "?"), 2) for name in names]

    def _sample(self, lease: str, requests: list[SampleRequest]) -> Ref:
        future: Future[Any] = Future()
        longest = max(self.lengths[request.prompt.id] for request in requests)
        timer = asyncio.get_running_loop().call_later(longest, self._finish, lease, future, requests, self.version)
        self.running.setdefault(lease, []).append((future, timer))
        return Ref(future)

    def _finish(self, lease: str, future: "Future[Any]", requests: list[SampleRequest], began: int) -> None:
        del self.running[lease]
        future.set_result([self._sampled(self.lengths[request.prompt.id], began) for request in requests])

    def _sampled(self, length: int, began: int) -> Sampled:
        rollout = Rollout(np.zeros(length, np.int32), np.zeros(length, np.float32), "", "stop", began, self.version)
        return Sampled(np.zeros(1, np.int32), (rollout,) * 2)

    def _abort(self, lease: str) -> None:
        for future, timer in self.running.pop(lease, []):
            timer.cancel()
            self.ended.append(lease)
            future.set_result([Sampled(np.zeros(1, np.int32), (Rollout.lost(self.version),) * 2)])


@dataclass
class Outcome:
    """What a run of steps came to."""

    cluster: Cluster
    steps: list[list[Group]] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    """That the learner had at each step."""
    stale: list[Group] = field(default_factory=list)
    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    given_up: list[Group] = field(default_factory=list)

    @property
    def utilisation(self) -> float:
        """Share of the time in which the learner works."""
        return len(self.steps) * LEARN_S / self.seconds

    @property
    def staleness(self) -> list[int]:
        """Of the oldest rollout of each step."""
        oldest = [min(r.version_min for group in groups for r in group.rollouts) for groups in self.steps]
        return [version - old for version, old in zip(self.versions, oldest, strict=True)]


def service(cluster: Cluster, staleness: int, steps: int) -> RolloutService:
    config = Config.model_validate(
        {
            "data": {"train": "tasks:chain"},
            "rollout": {"prompts": PROMPTS, "per_prompt": 2, "max_staleness": staleness},
            "run": {"steps": steps},
        }
    )
    sampler = Sampler({"rollout-0": cluster.worker}, 5000.0, room=64, tell=lambda line: None)
    scout = Scout(cluster.data, sampler, None, None, config, None, Stopwatch(), None, None)  # type: ignore[arg-type]
    return RolloutService(cluster.data, sampler, config, 1, Stopwatch(), scout)


async def learn(outcome: Outcome, rollouts: RolloutService, steps: int, refills: int = 0) -> None:
    """Take, learn, publish, commit; at the end, give up what is left."""
    clock = asyncio.get_running_loop().time
    began = clock()
    for number in range(1, steps + 1):
        step = step_of(number, steps)
        groups = await rollouts.take(step, PROMPTS)
        for _ in range(refills):
            groups += await rollouts.take(step, 1)
        outcome.steps.append(groups)
        outcome.versions.append(outcome.cluster.version)
        await asyncio.sleep(LEARN_S)
        outcome.cluster.version += 1
        await rollouts.sampler.publish(outcome.cluster.version, lambda: asyncio.sleep(0))
        outcome.stale += rollouts.stale
        outcome.rows.append(rollouts.committed(number))
    outcome.seconds = clock() - began
    for groups in (await rollouts.cancel()).values():
        outcome.given_up += groups


def played(staleness: int, steps: int = 40, refills: int = 0, **cluster: Any) -> Outcome:
    outcome = Outcome(Cluster(**cluster))
    virtual_time.run(learn(outcome, service(outcome.cluster, staleness, steps), steps, refills))
    return outcome


def test_the_learner_waits_for_the_longest_without_staleness_and_hardly_with() -> None:
    """The longest answer takes four steps of the learner; most take half of one."""
    waits, one, two, four = (played(staleness) for staleness in (0, 1, 2, 4))
    assert waits.utilisation < 0.3
    assert one.utilisation > 0.65 and two.utilisation > 0.8 and four.utilisation > 0.85


@pytest.mark.parametrize("staleness", [1, 2, 4])
@pytest.mark.parametrize("refills", [0, 2])
def test_nothing_older_than_allowed_is_learned_from(staleness: int, refills: int) -> None:
    found = played(staleness, refills=refills)
    assert max(found.staleness) == staleness, "it is used to the full, and not exceeded"
    assert found.staleness[0] == 0
    assert all(len(groups) == PROMPTS + refills for groups in found.steps)


@pytest.mark.parametrize("staleness", [1, 2, 4])
def test_every_group_ends_once(staleness: int) -> None:
    found = played(staleness, refills=1)
    learned = [group for groups in found.steps for group in groups]
    ends = Counter(group.prompt.id for group in [*learned, *found.stale, *found.given_up])
    assert set(ends.values()) == {1} and set(ends) <= set(found.cluster.handed_out)
    assert len({group.id for group in [*learned, *found.stale, *found.given_up]}) == sum(ends.values())
    assert found.cluster.given_up == [group.prompt.id for group in found.stale], "nobody waits for them"
    assert found.cluster.running == {}, "nothing is left in the engine"


def test_no_more_is_sampled_than_a_run_needs() -> None:
    """Where nothing comes too late: at its end nothing is under way."""
    found = played(2, long_share=0.0, refills=1)
    assert not found.stale and not found.given_up
    assert len(found.cluster.handed_out) == sum(map(len, found.steps))


def test_what_is_too_late_while_it_runs_is_aborted() -> None:
    found = played(1, long=400)
    aborted = [group for group in found.stale if all(rollout.failed for rollout in group.rollouts)]
    assert aborted and len(found.cluster.ended) >= len(aborted)


def test_what_comes_too_late_makes_it_run_ahead_less() -> None:
    found = played(1, long=150, long_share=0.3)
    assert min(row["rollout/ahead_share"] for row in found.rows) < 0.85
    assert mean(len(groups) for groups in found.steps) == PROMPTS, "and it goes on"


def test_the_limit_rests_where_an_eighth_of_it_is_wasted() -> None:
    reach = Reach()
    assert reach.groups(64) == 64
    for _ in range(50):
        reach.learned(taken=9, late=1)
    assert reach.groups(64) == 64, "a tenth is no reason"
    reach.learned(taken=8, late=8)
    assert reach.share == 0.5 + 0.125
    for _ in range(50):
        reach.learned(taken=8, late=8)
    assert reach.share == pytest.approx(0.25) and reach.groups(30) == 8 and reach.groups(1) == 1
    for _ in range(6):
        reach.learned(taken=8, late=0)
    assert reach.groups(64) == 64 and reach.groups(0) == 0


def test_the_bias_towards_short_answers_is_told() -> None:
    fair, biased = played(4, long_share=0.0), played(1, long=150, long_share=0.3)
    assert all(row["rollout/length_mean"] == row["rollout/length_started"] for row in fair.rows)
    late = [row for row in biased.rows if row["rollout/stale"]]
    assert late and all(row["rollout/length_mean"] < row["rollout/length_started"] for row in late)
    tokens = sum(len(rollout.token_ids) for group in biased.stale for rollout in group.rollouts)
    assert sum(row["rollout/stale_tokens"] for row in biased.rows) == tokens


async def begun(cluster: Cluster, rollouts: RolloutService) -> "asyncio.Task[list[Group]]":
    """A step takes its rollouts; all that may run ahead is under way."""
    taking = asyncio.create_task(rollouts.take(step_of(1, 3), PROMPTS))
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(cluster.running) == 2 * PROMPTS
    return taking


async def test_what_fails_ahead_is_raised_by_the_step_that_needs_it() -> None:
    cluster = Cluster()
    rollouts = service(cluster, 1, 3)
    taking = await begun(cluster, rollouts)
    [(future, timer)] = cluster.running.pop(next(iter(cluster.running)))
    timer.cancel()
    future.set_exception(RuntimeError("the engine is broken"))
    with pytest.raises(RuntimeError, match="broken"):
        await taking
    await rollouts.cancel()
    assert await rollouts.cancel() == {} and cluster.running == {}


async def test_what_is_finished_ahead_and_given_up_is_told_under_the_step_that_would_have_come() -> None:
    cluster = Cluster()
    rollouts = service(cluster, 1, 3)
    taking = await begun(cluster, rollouts)
    for name, (lease, [(future, timer)]) in zip(
        cluster.handed_out[: PROMPTS + 3], list(cluster.running.items()), strict=False
    ):
        timer.cancel()
        cluster._finish(lease, future, [SampleRequest(Prompt(name, "?"), (1, 2), 8, 1.0)], 0)
    assert len(await taking) == PROMPTS
    await asyncio.sleep(0)
    given_up = await rollouts.cancel()
    assert [(step, len(groups)) for step, groups in given_up.items()] == [(2, 3)]
