"""Runs of groups without signal: who is skipped how often, and how the chances follow what a step wastes."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from effrl.config.schema import Config
from effrl.select.build import selector as selector_of
from effrl.select.greso import GresoSelector, chance
from tests.unit.select.pools import numbers, pool, seen


def greso(size: int, p: float = 0.5, step: float = 0.01, seed: int = 1) -> GresoSelector:
    return GresoSelector(pool(size), seed, p, step, (0.05, 0.95), 1 / 12, 1 / 6)


@pytest.mark.parametrize(
    ("p", "skips"),
    [
        (0.5, [0, 0.5, 0.75, 0.875, 0.9375, 0.96875, 0.984375, 0.99, 0.99]),
        (0.05, [0, 0.95, 0.99]),
        (0.95, [0, 0.05, 0.0975, 0.142625]),
    ],
)
def test_a_longer_run_is_skipped_more_often_up_to_a_limit(p: float, skips: Sequence[float]) -> None:
    assert [1 - chance(p, run) for run in range(len(skips))] == pytest.approx(skips)


@pytest.mark.parametrize(("p", "expected"), [(0.5, 3.2465), (0.05, 1.3858), (0.95, 8.2162)])
def test_groups_that_an_always_solved_prompt_still_gets(p: float, expected: float) -> None:
    """Of ten turns: the law of the run's length, turn by turn, against the paper's rule worked out."""
    lengths = np.zeros(12)
    lengths[0] = 1.0
    for _ in range(10):
        moving = lengths[:-1] * [chance(p, run) for run in range(11)]
        lengths[:-1] -= moving
        lengths[1:] += moving
    assert lengths @ np.arange(12) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("p", "expected"), [(0.5, 3.2465), (0.95, 8.2162)])
def test_the_selector_offers_as_the_law_says(p: float, expected: float) -> None:
    """400 solved prompts, ten epochs; 100 mixed ones among them mark the epochs, and are never skipped."""
    selector, turns = greso(500, p, step=0.0), np.zeros(500)
    while turns[499] < 10 or turns[400:].min() < 10:
        for number in numbers(selector.select(1)):
            turns[number] += turns[400:].min() < 10
            selector.observe([seen(number, 8.0 if number < 400 else 4.0)])
    assert set(turns[400:]) <= {10, 11}
    assert abs(turns[:400].mean() - expected) < 0.25


def test_one_mixed_group_ends_a_run() -> None:
    selector = greso(3)
    selector.observe([seen(0, 8.0), seen(1, 0.0), seen(2, 7.0)])
    selector.observe([seen(0, 8.0), seen(1, 0.0)])
    assert selector.state()["runs"] == {"p/0": 2, "p/1": -2}
    selector.observe([seen(0, 7.5), seen(1, 8.0)])
    assert selector.state()["runs"] == {"p/1": 1}, "and the opposite end begins another"


def test_chances_move_after_the_first_epoch_by_what_a_step_wasted() -> None:
    """1 of 12 solved reaches a twelfth and 1 of 12 hopeless not a sixth; in the first epoch nothing moves."""
    selector = greso(12)
    step = [seen(0, 8.0), seen(1, 0.0), *(seen(number, 4.0) for number in range(2, 12))]
    selector.select(12)
    selector.observe(step)
    assert selector.state()["p"] == [0.5, 0.5]
    selector.select(1)
    selector.observe(step)
    assert selector.state()["p"] == pytest.approx([0.49, 0.51])
    selector.observe([seen(0, 8.0, 8), seen(1, 0.0), seen(2, 0.0), *(seen(number, 4.0) for number in range(3, 13))])
    assert selector.state()["p"] == pytest.approx([0.48, 0.50]), "prompt 12 is of no pool"


def test_wasteful_steps_bring_both_to_their_floor_and_no_further() -> None:
    selector = greso(2)
    selector.select(2)
    selector.select(1)
    for steps, expected in ((45, 0.05), (5, 0.05)):
        for _ in range(steps):
            selector.observe([seen(0, 8.0), seen(1, 0.0)])
        assert selector.state()["p"] == pytest.approx([expected, expected])
    for _ in range(100):
        selector.observe([seen(0, 4.0)])
    assert selector.state()["p"] == pytest.approx([0.95, 0.95])


def test_outcomes_of_no_prompt_of_the_pool_move_nothing() -> None:
    selector = greso(1)
    selector.select(1)
    selector.select(1)
    selector.observe([seen(5, 8.0), seen(0, 0.0, 0)])
    assert selector.state()["p"] == [0.5, 0.5]


def test_where_a_lap_yields_too_few_the_shortest_runs_follow() -> None:
    """40 of 50 are hopeless for three to six groups: a call for 20 takes all ten others, then the three-groups."""
    selector = greso(50, p=0.05)
    for round_ in range(6):
        selector.observe([seen(number, 0.0) for number in range(40) if round_ < 3 + number // 10])
    drawn = numbers(selector.select(20))
    assert {*range(40, 50)} <= {*drawn}
    assert sum(number < 10 for number in drawn) >= 8, "but for the one in a hundred that is explored"


def offers(size: int, seed: int, runs: dict[int, int], p: float) -> Iterator[int]:
    """The rule again, naively: an endless walk of shuffled orders that keeps what its coin takes."""
    random = np.random.default_rng(seed)
    while True:
        for number in random.permutation(size):
            if random.random() >= 1 - max(p ** runs.get(int(number), 0), 0.01):
                yield int(number)


def test_it_draws_each_prompt_as_often_as_a_naive_walk() -> None:
    runs = {number: number % 4 for number in range(100)}
    selector, naive = greso(100, step=0.0), offers(100, 7, runs, 0.5)
    for round_ in range(3):
        selector.observe([seen(number, 8.0) for number, run in runs.items() if run > round_])
    drawn = np.array([number % 4 for _ in range(400) for number in numbers(selector.select(10))])
    expected = np.array([next(naive) % 4 for _ in range(4000)])
    for run in range(4):
        assert abs(np.mean(drawn == run) - np.mean(expected == run)) < 0.04


def test_from_a_config() -> None:
    config = Config.model_validate({"data": {"train": "tasks:chain"}, "select": {"kind": "greso", "p": 0.3}})
    made = selector_of(config, [(1.0, pool(8))], note=print)
    assert isinstance(made, GresoSelector)
    assert made.metrics() == {"select/p_easy": 0.3, "select/p_hard": 0.3, "select/in_runs": 0.0}


def test_a_first_chance_outside_of_its_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"within select\.bounds"):
        Config.model_validate({"data": {"train": "tasks:chain"}, "select": {"kind": "greso", "p": 0.99}})
