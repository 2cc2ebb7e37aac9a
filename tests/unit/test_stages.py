"""The default stage: which steps are left, and what a batch of one asks for."""

from typing import Any

import pytest
from reads import answered, step_of

from effrl.config.schema import Config
from effrl.errors import RunError
from effrl.label.parked import NoParking
from effrl.label.stateless import Stateless
from effrl.stages import OneStage, TrainingStage
from effrl.types import Decision, Judged, Step


def config(**sections: Any) -> Config:
    return Config.model_validate({"data": {"train": "tasks:chain"}, "run": {"steps": 6}, **sections})


def stage(first: int, last: int = 99, **sections: Any) -> TrainingStage:
    """One that is asked to stop before step ``last``."""
    return TrainingStage(config(**sections), Stateless(), lambda step: step.number < last, first)  # type: ignore[arg-type]


async def steps(made: TrainingStage) -> list[Step]:
    [only] = [entry async for entry in OneStage(made).remaining()]
    return [step async for step in only.steps()]


async def test_a_run_goes_from_its_resume_point_to_its_last_step() -> None:
    assert await steps(stage(1)) == [step_of(number, 6) for number in range(1, 7)]
    assert [step.number for step in await steps(stage(5))] == [5, 6]
    assert [step.number for step in await steps(stage(2, last=4))] == [2, 3], "somebody asked to stop"
    assert await steps(stage(7)) == []


def test_a_batch_asks_for_fresh_groups_and_for_replayed_ones() -> None:
    made = stage(1, replay={"warmup": 2, "capacity": 64}, rollout={"prompts": 8})
    batches = [made.batch(step_of(number, 6)) for number in (2, 3)]
    assert [(batch.step, batch.missing, batch.replays) for batch in batches] == [(2, 8, 0), (3, 4, 4)]


@pytest.mark.parametrize(
    ("select", "weigh"),
    [({"kind": "perplexity"}, True), ({"kind": "perplexity", "weight": "none"}, False), ({"kind": "uniform"}, False)],
)
def test_a_selector_says_whether_rollouts_count_by_their_entropy(select: dict[str, str], weigh: bool) -> None:
    assert stage(1, select=select).batch(step_of(1, 6)).weigh is weigh


async def test_a_run_without_parking_refuses_to_lose_a_parked_group() -> None:
    used = Judged(answered("b", "1"), Decision.DROP)
    assert await NoParking().keep(step_of(1), [used]) == [used] and await NoParking().answered(step_of(1)) == []
    with pytest.raises(RunError, match="parks the group of a"):
        await NoParking().keep(step_of(1), [used, Judged(answered("a", "1"), Decision.PARK, query="q")])
