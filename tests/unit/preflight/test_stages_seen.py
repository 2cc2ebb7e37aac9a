"""What is seen of stages before anything starts: how long they are at most, and what was probably not meant."""

import pytest

from effrl.config import load
from effrl.config.overrides import override
from effrl.config.schema import Config
from effrl.preflight.check import check
from effrl.preflight.plan import plan
from effrl.preflight.stages import planned, remarks

DATA = {"data": {"train": "tasks:chain?size=100"}, "rollout": {"prompts": 10}, "easy": {"column": "level"}}
EASYRL = "stages=[{name: a, steps: 3, pool: easy}, {name: b, epochs: 1, rounds: 2, pool: {kind: pseudo, samples: 2}}]"


def loaded(*overrides: str) -> Config:
    return load.validate(override({**DATA}, overrides), "run.yaml")


def test_lengths_are_those_of_the_largest_pools() -> None:
    stages = planned(loaded(EASYRL), 100)
    assert [(stage.name, stage.config.run.steps, stage.pool) for stage in stages] == [
        ("a", 3, 10),
        ("b.1", 10, 100),
        ("b.2", 10, 100),
    ]
    assert [stage.asked for stage in stages] == [0, 3 * (90 + 10), 3 * (90 + 10)], "two answers and a reflection each"


def test_the_plan_adds_them_up() -> None:
    config = loaded(EASYRL, "eval.every=5")
    found = plan(config, check(config))
    assert found.steps == 23 and found.rollouts == 23 * 10 * 8 + 600
    assert found.evaluations == 1 + len({3, 13, 23, 5, 10, 15, 20})


@pytest.mark.parametrize(
    ("overrides", "lines"),
    [
        ([EASYRL], []),
        ([EASYRL, "run.steps=4"], ["run.steps (4) ends the run before its stages do, which have up to 23 steps"]),
        (["stages=[{name: a, steps: 30, pool: easy}]"], ["stage a draws each of its 10 prompts about 30 times"]),
    ],
)
def test_what_was_probably_not_meant(overrides: list[str], lines: list[str]) -> None:
    assert list(remarks(loaded(*overrides), 100)) == lines
