"""Without staleness the rollouts are a plain synchronous loop; what was handed out and not learned from comes again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fake_actor import Method
from reads import step_of

import effrl
from actors import role
from actors.data.actor import DataActor
from actors.driver.rollouts import RolloutService
from actors.driver.sampler import Sampler
from actors.driver.scout import Scout
from actors.rollout.sampling import Sampled, SampleRequest
from effrl.config.schema import Config
from effrl.run.metrics import Stopwatch
from effrl.types import Group, Observation, Pick, Prompt, Rollout

PROMPTS, STEPS = 2, 5


class Engine:
    """Stands in for the data actor and a rollout worker, and writes down what happens in which order."""

    def __init__(self) -> None:
        self.version = 0
        self.events: list[str] = []
        self.seeds: list[tuple[int, ...]] = []
        self.select = Method(self._select)
        self.sample = Method(self._sample)
        self.upcoming = Method(lambda count: [Pick(Prompt(f"next/{n}", "?"), 2) for n in range(count)])
        self.request = Method(lambda step: None)

    def _select(self, count: int) -> list[Pick]:
        self.events.append(f"select {count}")
        return [Pick(Prompt(f"{n}", "?"), 2) for n in range(count)]

    def _sample(self, lease: str, requests: list[SampleRequest]) -> list[Sampled]:
        self.seeds += [request.seeds for request in requests]
        self.events.append(f"sample {len(requests)} with version {self.version}")
        rollout = Rollout(np.array([3], np.int32), np.zeros(1, np.float32), "", "stop", self.version, self.version)
        return [Sampled(np.array([4], np.int32), (rollout,) * len(request.seeds)) for request in requests]


def service(engine: Engine) -> RolloutService:
    config = Config.model_validate(
        {
            "data": {"train": "tasks:chain"},
            "rollout": {"prompts": PROMPTS, "per_prompt": 2},
            "run": {"steps": STEPS},
        }
    )
    sampler = Sampler({"rollout-0": engine}, 5.0)
    scout = Scout(engine, sampler, None, None, config, None, Stopwatch(), None, None)  # type: ignore[arg-type]
    return RolloutService(engine, sampler, config, 1, Stopwatch(), scout)


async def test_staleness_0_is_a_plain_synchronous_loop() -> None:
    engine, plain, groups = Engine(), [], list[Group]()
    rollouts = service(engine)
    for step in range(1, STEPS + 1):
        groups += await rollouts.take(step_of(step, STEPS), PROMPTS)
        engine.version += 1
        engine.events.append(f"publish {engine.version}")
        # Written down anew: select, sample, learn, publish.
        plain += [f"select {PROMPTS}", f"sample {PROMPTS} with version {step - 1}", f"publish {step}"]
    assert engine.events == plain
    assert len({group.id for group in groups}) == len(groups) == PROMPTS * STEPS
    assert [group.id.split("/")[1] for group in groups] == [str(1 + n // PROMPTS) for n in range(len(groups))]


async def test_a_refill_that_draws_a_prompt_again_samples_other_rollouts() -> None:
    engine = Engine()
    rollouts = service(engine)
    for count in (1, 1, 1):  # the engine gives the prompt 0 each time
        await rollouts.take(step_of(1, STEPS), count)
    assert len({seed for seeds in engine.seeds for seed in seeds}) == 6
    again = service(fresh := Engine())
    await again.take(step_of(1, STEPS), 1)
    assert fresh.seeds == engine.seeds[:1], "the first draw of a step does not depend on what came before"


def refilling(engine: Engine, names: list[str]) -> None:
    """Let the data actor hand out these prompts, one after another, and know which ones come next."""
    left = list(names)

    def select(count: int) -> list[Pick]:
        return [Pick(Prompt(left.pop(0), "?"), 2) for _ in range(count)]

    engine.select = Method(select)
    engine.upcoming = Method(lambda count: [Pick(Prompt(name, "?"), 2) for name in left[:count]])


async def test_likely_refills_are_sampled_beside_the_first_draw() -> None:
    """The step before had two: so the next two prompts are ready when they are asked for, and no other decode runs."""
    engine = Engine()
    refilling(engine, list("abcde"))
    rollouts = service(engine)
    rollouts.refills = 2
    drawn = [await rollouts.take(step_of(1, STEPS), count) for count in (2, 1, 1)]
    assert engine.events == ["sample 4 with version 0"]
    assert [group.prompt.id for groups in drawn for group in groups] == list("abcd")
    assert rollouts.committed(1) == {"rollout/unused_tokens": 0, "rollout/workers_lost": 0} and rollouts.refills == 2
    plain = Engine()
    refilling(plain, list("abcde"))
    waves = service(plain)
    for count in (2, 1, 1):
        await waves.take(step_of(1, STEPS), count)
    assert engine.seeds == plain.seeds and len(plain.events) == 3, "the same rollouts, in three decodes"


async def test_a_refill_that_was_not_expected_is_sampled_and_what_nobody_asked_for_is_told() -> None:
    engine = Engine()
    refilling(engine, list("abcd"))
    rollouts = service(engine)
    rollouts.refills = 1
    await rollouts.take(step_of(1, STEPS), 2)
    refilling(engine, ["x"])
    [refill] = await rollouts.take(step_of(1, STEPS), 1)
    assert refill.prompt.id == "x" and engine.events == ["sample 3 with version 0", "sample 1 with version 0"]
    told = {"rollout/unused_tokens": 2, "rollout/workers_lost": 0}
    assert rollouts.committed(1) == told, "two rollouts of one token, of the prompt c"
    assert await rollouts.take(step_of(2, STEPS), 0) == [], "the next step begins without them"


async def test_a_selector_may_ask_for_its_own_number_of_rollouts() -> None:
    engine = Engine()
    engine.select = Method(lambda count: [Pick(Prompt(f"{n}", "?"), 2 + n) for n in range(count)])
    groups = await service(engine).take(step_of(1, STEPS), 3)
    assert [len(group.rollouts) for group in groups] == [2, 3, 4]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], DataActor]:
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output
    config = Config.model_validate({"data": {"train": "tasks:chain?size=16"}})
    return lambda: DataActor("data", tmp_path, effrl.__version__, config, [])


def names(picks: list[Pick]) -> list[str]:
    return [pick.prompt.id for pick in picks]


def test_prompts_of_a_step_that_was_not_committed_come_again_after_a_resume(data: Callable[[], DataActor]) -> None:
    actor, uninterrupted = data(), data()
    first, ahead = actor.select(4), actor.select(4)
    actor.observe(1, [Observation(pick.prompt, 1.0, 2) for pick in first], names(first))
    resumed = data()
    resumed.restore(actor.state())
    assert resumed.select(3) == ahead[:3], "a step may ask for fewer, or more"
    again = data()
    again.restore(resumed.state())
    assert sorted(names(again.select(4))) == sorted(names(ahead))
    expected = [uninterrupted.select(4) for _ in range(3)][-1]
    assert again.select(4) == expected


def test_a_committed_step_leaves_nothing_to_come_again(data: Callable[[], DataActor]) -> None:
    actor = data()
    taken = [*actor.select(4), *actor.select(2)]
    actor.observe(1, [], names(taken))
    assert actor.state()["leased"] == []


def test_a_step_that_learns_from_some_leaves_the_others_under_way(data: Callable[[], DataActor]) -> None:
    actor = data()
    handed_out = actor.select(6)
    actor.observe(1, [], names(handed_out[3:5]))
    left = [*handed_out[:3], handed_out[5]]
    assert [name for name, _ in actor.state()["leased"]] == names(left)


def test_what_came_too_late_has_had_its_turn(data: Callable[[], DataActor]) -> None:
    actor, other = data(), data()
    handed_out = actor.select(6)
    actor.give_up(names(handed_out[1:3]))
    assert [name for name, _ in actor.state()["leased"]] == names([handed_out[0], *handed_out[3:]])
    other.select(6)
    assert actor.select(3) == other.select(3), "the selector goes on as if it had been learned from"


def test_another_stage_begins_with_nothing_handed_out(data: Callable[[], DataActor]) -> None:
    actor = data()
    handed_out = actor.select(6)
    pool = frozenset(names(handed_out[2:]))
    actor.enter(Config.model_validate({"data": {"train": "tasks:chain?size=16"}}), pool)
    assert set(names(actor.select(4))) == pool, "not those of the stage before"


def test_a_look_at_what_comes_next_hands_nothing_out(data: Callable[[], DataActor]) -> None:
    actor, other = data(), data()
    actor.select(4)
    resumed = data()
    resumed.restore(actor.state())
    for looked in (other, resumed):
        before = looked.state()
        following = looked.upcoming(7)
        assert looked.state() == before and looked.select(7) == following
