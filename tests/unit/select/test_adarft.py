"""AdaRFT: how its target moves, what it draws, and what it asks where nothing is known."""

import numpy as np
import pytest

from effrl.config.schema import Config
from effrl.select.adarft import AdaRftSelector
from effrl.select.build import selector as selector_of
from tests.unit.select.pools import numbers, pool, seen

LADDER = np.arange(0.0, 101.0, 10.0)


def adarft(difficulty: np.ndarray | None = LADDER, no_repeat: bool = False, size: int = 11) -> AdaRftSelector:
    return AdaRftSelector(pool(size), 1, 0.5, 2.0, 50.0, no_repeat, difficulty)


def target_after(*outcomes: float) -> float:
    selector = adarft()
    for outcome in outcomes:
        selector.observe([seen(0, 20 * outcome, 20)])
    return selector.metrics()["select/target_difficulty"]


@pytest.mark.parametrize(
    ("outcome", "step"), [(0.5, 0.0), (0.55, 4.9834), (0.6, 9.8688), (0.75, 23.1059), (0.8, 26.8525), (1.0, 38.0797)]
)
def test_a_step_of_the_target(outcome: float, step: float) -> None:
    assert target_after(outcome) == pytest.approx(step, abs=5e-5)
    assert target_after(1.0, 1 - outcome) == pytest.approx(max(0.0, 38.0797 - step), abs=2e-4), "as far down"


def test_the_target_over_several_steps() -> None:
    found = [target_after(*(0.8, 0.55, 0.2, 0.0)[:count]) for count in range(1, 5)]
    assert found == pytest.approx([26.8525, 31.8359, 4.9834, 0.0], abs=2e-4)


def test_the_nearest_are_drawn() -> None:
    selector = adarft()
    selector.observe([seen(0, 16.0, 20)])
    assert numbers(selector.select(3)) == [3, 2, 4]
    assert numbers(selector.select(3)) == [3, 2, 4], "again, since nothing has moved"


def test_without_repeats_a_lap_comes_first() -> None:
    selector = adarft(no_repeat=True)
    laps = [numbers(selector.select(4)) for _ in range(6)]
    assert laps[0] == [0, 1, 2, 3] and laps[1] == [4, 5, 6, 7]
    assert laps[2] == [8, 9, 10, 0], "the lap ends within a call"
    assert not {*laps[3]} & {0} and len({*laps[3]}) == 4


def test_the_mean_is_of_rollouts_and_of_this_pool_alone() -> None:
    selector = adarft()
    selector.observe([seen(0, 8.0, 8), seen(1, 0.0, 2), seen(99, 0.0, 50), seen(2, 0.0, 0)])
    assert selector.metrics()["select/target_difficulty"] == pytest.approx(26.8525, abs=5e-5)


def test_what_the_base_solves_is_asked_for_once() -> None:
    selector = adarft(None, size=4)
    request = selector.request(1)
    assert request is not None and request.what == "pass_rate" and len(request.prompts) == 4
    selector.receive(1, {"p/0": 0.25, "p/1": 1.0, "p/3": 0.5, "elsewhere": 0.0})
    assert selector.request(2) is None
    assert selector.difficulty == pytest.approx([75, 0, (75 + 0 + 50) / 3, 50])
    assert numbers(selector.select(2)) == [1, 2]


def test_a_pool_of_which_nothing_was_found_is_not_asked_again() -> None:
    selector = adarft(None, size=4)
    selector.receive(1, {"elsewhere": 0.5})
    assert selector.request(2) is None and numbers(selector.select(2)) == [0, 1]


def test_a_column_of_the_data_is_scaled_to_the_pool() -> None:
    config = Config.model_validate(
        {"data": {"train": "tasks:chain"}, "select": {"kind": "adarft", "difficulty": "level"}}
    )
    made = selector_of(config, [(1.0, pool(5))], note=print)
    assert isinstance(made, AdaRftSelector)
    assert made.difficulty == pytest.approx([0, 25, 50, 75, 100]) and made.request(1) is None
