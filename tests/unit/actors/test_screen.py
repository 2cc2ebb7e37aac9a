"""Early stop: which groups go on, what is saved, and that nothing else changes."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fake_actor import Method
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from reads import step_of

from actors import role
from actors.driver.rollouts import RolloutService
from actors.driver.screen import Screen
from actors.rollout.sampling import Sampled, SampleRequest
from effrl.config.schema import Config
from effrl.run import metrics
from effrl.run.directory import RunDirectory
from effrl.run.metrics import Stopwatch
from effrl.types import Group, Pick, Prompt, Rollout, Step
from tests.unit.actors.driven import Death, comparable
from tests.unit.actors.test_labels_resumed import config as resumable
from tests.unit.actors.test_labels_resumed import groups, killed_and_resumed, label_of, write_data


class Machine:
    """An engine and a judge: a rollout's text is its seed, and it is right where the seed is odd; 8 is not scored."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []
        self.lost = 0

    async def __call__(self, requests: Sequence[SampleRequest]) -> list[Sampled]:
        self.asked += [request.seeds for request in requests]
        return [Sampled(np.ones(1, np.int32), tuple(map(rollout, request.seeds))) for request in requests]

    async def pass_rates(self, step: Step, found: Sequence[Group]) -> list[float | None]:
        assert len({group.id for group in found}) == len(found)
        return [rate([int(rollout.text) for rollout in group.rollouts]) for group in found]


class Looks:
    """A scout of a selector that asks nothing."""

    def __init__(self, machine: Machine) -> None:
        self.pass_rates = machine.pass_rates

    async def __call__(self, step: Step) -> dict[str, Sampled]:
        return {}

    def metrics(self, step: int) -> dict[str, float]:
        return {}


def rollout(seed: int) -> Rollout:
    return Rollout(np.ones(1, np.int32), np.zeros(1, np.float32), str(seed), "stop", 0, 0)


def rate(seeds: Sequence[int]) -> float | None:
    scored = [seed % 2 for seed in seeds if seed != 8]
    return sum(scored) / len(scored) if scored else None


def request(*seeds: int, name: str = "p") -> SampleRequest:
    return SampleRequest(Prompt(name, "?"), seeds, 4, 1.0)


def texts(sampled: Sequence[Sampled]) -> list[list[int]]:
    return [[int(rollout.text) for rollout in found.rollouts] for found in sampled]


def screen(first: int | None) -> tuple[Screen, Machine]:
    machine = Machine()
    return Screen(machine, machine, first), machine  # type: ignore[arg-type]


async def test_groups_that_are_all_right_or_all_wrong_so_far_are_stopped() -> None:
    made, machine = screen(2)
    asked = [request(1, 3, 2, 4, 6), request(1, 2, 3, 4), request(2, 4, 1, 3), request(8, 8, 1, 2), request(2, 4)]
    found = await made(step_of(1), asked)
    assert texts(found) == [[1, 3], [1, 2, 3, 4], [2, 4], [8, 8, 1, 2], [2, 4]]
    assert machine.asked == [(1, 3), (1, 2), (2, 4), (8, 8), (2, 4), (3, 4), (1, 2)], "in two decodes"
    assert made.metrics(1) == {"rollout/stopped": 2, "rollout/saved": 3 + 2}, "the last had no more to stop"
    assert made.metrics(1) == made.metrics(2) == {"rollout/stopped": 0, "rollout/saved": 0}


async def test_without_it_all_is_sampled_at_once() -> None:
    made, machine = screen(None)
    assert texts(await made(step_of(1), [request(1, 3, 5)])) == [[1, 3, 5]]
    assert machine.asked == [(1, 3, 5)] and made.metrics(1) == {}


SEEDS = st.lists(st.integers(1, 9), min_size=3, max_size=6)


@given(st.lists(SEEDS, max_size=5), st.integers(2, 4))
def test_a_group_that_goes_on_is_what_it_is_without_and_a_stopped_one_its_beginning(
    seeds: list[list[int]], first: int
) -> None:
    made, _ = screen(first)
    found = texts(asyncio.run(made(step_of(3), [request(*each) for each in seeds])))
    stops = [len(each) > first and rate(each[:first]) in (0, 1) for each in seeds]
    assert found == [each[:first] if stop else each for each, stop in zip(seeds, stops, strict=True)]
    saved = sum(len(each) - first for each, stop in zip(seeds, stops, strict=True) if stop)
    assert made.metrics(3) == {"rollout/stopped": sum(stops), "rollout/saved": saved}


async def test_a_step_screens_its_first_draw_and_its_refills_and_samples_nothing_for_refills_ahead() -> None:
    settings = Config.model_validate(
        {"data": {"train": "tasks:chain"}, "rollout": {"prompts": 2, "per_prompt": 6, "screen": 4}}
    )
    machine = Machine()
    data = SimpleNamespace(select=Method(lambda count: [Pick(Prompt("p", "?"), 6) for _ in range(count)]))
    service = RolloutService(data, machine, settings, 1, Stopwatch(), Looks(machine), refills=3)  # type: ignore[arg-type]
    drawn = [*await service.take(step_of(1), 2), *await service.take(step_of(1), 1)]
    heads = [seeds for seeds in machine.asked if len(seeds) == 4]
    assert len(heads) == 3 and len({seed for seeds in machine.asked for seed in seeds}) == len(sum(machine.asked, ()))
    assert [len(group.rollouts) for group in drawn] == [4 if rate(seeds) in (0, 1) else 6 for seeds in heads]
    stopped = sum(len(group.rollouts) == 4 for group in drawn)
    told = service.committed(1)
    assert told == {
        "rollout/stopped": stopped,
        "rollout/saved": 2 * stopped,
        "rollout/unused_tokens": 0,
        "rollout/workers_lost": 0,
    }


async def test_a_screened_run_that_was_killed_goes_on_as_if_it_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output
    settings = resumable(write_data(tmp_path / "rows.jsonl", label_of), {"kind": "gold"})
    settings = settings.model_copy(update={"rollout": settings.rollout.model_copy(update={"screen": 2})})
    whole, cut = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "cut")
    weights = await killed_and_resumed(whole, settings, [], tmp_path)
    assert await killed_and_resumed(cut, settings, [Death(3)], tmp_path) == weights
    assert groups(cut) == groups(whole)
    rows = metrics.read(whole.metrics)
    assert comparable(metrics.read(cut.metrics)) == comparable(rows)
    assert sum(row.get("rollout/saved") or 0 for row in rows) > 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rollout": {"screen": 8}}, "fewer than rollout.per_prompt"),
        ({"rollout": {"screen": 4}, "advantage": {"kind": "gae"}}, "advantage.kind=gae"),
        ({"rollout": {"screen": 4}, "label": {"kind": "vote"}, "reward": {"kind": "a.b:c"}}, "does not tell"),
    ],
)
def test_what_does_not_go_with_it_is_refused(change: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Config.model_validate({"data": {"train": "tasks:chain"}, **change})
