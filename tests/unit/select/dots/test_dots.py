"""Rounds of DOTS: who is measured, who is drawn, and going on from a saved state."""

import json
from collections.abc import Sequence
from math import comb

import numpy as np
import pytest

from effrl.advantage.grpo import grpo_advantages
from effrl.difficulty.rounds import Round
from effrl.select.dots.selector import DotsSelector, Predict
from tests.unit.select.pools import numbers, pool


class Staircase:
    """Predicts difficulty 0, 1/N, 2/N, … and remembers what it was asked."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.asked: list[tuple[list[int], list[float]]] = []

    def predictor(self, rounds: Sequence[Round]) -> Predict:
        return self

    def __call__(self, references: Sequence[int], rates: Sequence[float]) -> np.ndarray:
        self.asked.append((list(references), list(rates)))
        return 1 - np.arange(self.size) / self.size


def selector(size: int, seed: int = 1, **settings: object) -> DotsSelector:
    return DotsSelector(pool(size), seed, Staircase(size).predictor, **settings)  # type: ignore[arg-type]


def measure(dots: DotsSelector, step: int) -> None:
    if request := dots.request(step):
        dots.receive(step, {prompt.id: 0.25 for prompt in request.prompts})


def references(dots: DotsSelector, step: int) -> list[int]:
    request = dots.request(step)
    assert request is not None and request.what == "pass_rate"
    return numbers(request.prompts)


def test_a_round_measures_once_and_lasts_its_steps() -> None:
    dots = selector(100, reference=10, steps=2)
    measured_before = []
    for step in range(1, 7):
        measured_before.append(dots.request(step) is not None)
        measure(dots, step)
    assert measured_before == [True, False, True, False, True, False]


def test_references_are_distinct_differ_between_rounds_and_can_be_repeated() -> None:
    dots = selector(100, reference=30)
    first = references(dots, 1)
    assert len(set(first)) == 30
    dots.select(8)
    assert references(dots, 1) == first, "a measurement that failed is repeated"
    measure(dots, 1)
    assert references(dots, 3) != first
    assert len(references(selector(5, reference=30), 1)) == 5


def test_the_predictor_gets_the_pass_rates_of_its_pool_and_keeps_them_where_nothing_was_found() -> None:
    stairs = Staircase(10)
    dots = DotsSelector(pool(10), 1, stairs.predictor, reference=3)
    seventh, fourth = pool(10)[7].id, pool(10)[4].id
    dots.receive(1, {seventh: 0.25, "another pool": 0.5, fourth: 1.0})
    dots.select(1)
    dots.receive(3, {})
    dots.select(1)
    assert stairs.asked == [([7, 4], [0.25, 1.0])] * 2
    assert dots.request(3) is None, "a round begins even where no reference could be scored"


def test_draws_near_the_target_difficulty() -> None:
    """At 1e-3 and steps of 1/1000 in difficulty, draws lie within a few of the middle."""
    for target in (0.5, 0.2):
        dots = selector(1000, target=target, steps=1)
        measure(dots, 1)
        drawn = np.array(numbers(dots.select(16)))
        assert abs(drawn - 1000 * target).max() < 30


def test_a_round_draws_for_all_its_steps_and_shuffles() -> None:
    """Both steps are as near to the target; drawn one after the other the first one would be nearer."""
    nearer = 0
    for seed in range(40):
        dots = selector(1000, seed, steps=2)
        measure(dots, 1)
        first, second = (np.abs(np.array(numbers(dots.select(16))) - 500).mean() for _ in range(2))
        nearer += first < second
    assert 8 <= nearer <= 32


def test_no_prompt_twice_in_a_round_but_again_in_the_next() -> None:
    dots = selector(50, steps=2)
    measure(dots, 1)
    first = numbers(dots.select(16)) + numbers(dots.select(4)) + numbers(dots.select(16)) + numbers(dots.select(6))
    assert len(set(first)) == 42
    measure(dots, 3)
    assert set(numbers(dots.select(16))) & set(first)


def test_before_anything_is_measured_draws_are_uniform() -> None:
    dots = selector(20, steps=2)
    counts = np.zeros(20)
    for _ in range(20):
        for number in numbers(dots.select(5)):
            counts[number] += 1
    assert (counts == 5).all(), "each pass over the pool gives every prompt once"


def test_a_warm_up_measures_nothing_and_draws_uniformly() -> None:
    dots = selector(20, steps=2, warmup=2, reference=4)
    counts = np.zeros(20)
    for step in (1, 2, 3, 4):
        if request := dots.request(step):
            assert request.prompts == () and step in (1, 3)
            dots.receive(step, {})
        for number in numbers(dots.select(10)):
            counts[number] += 1
        assert dots.metrics()["select/fitted"] == 0
    assert (counts == 2).all(), "each of two rounds gives every prompt once"
    assert len(references(dots, 5)) == 4
    measure(dots, 5)
    assert set(numbers(dots.select(2))) <= {9, 10, 11} and dots.metrics()["select/fitted"] == 1


def test_rounds_of_the_paper() -> None:
    """B = 512, two steps, half of them fresh later: 1,024 rows in round 0, then 512."""
    dots = selector(4000, reference=256, steps=2)
    sizes = []
    for step, fresh in zip(range(1, 7), (512, 512, 256, 256, 256, 256), strict=True):
        measure(dots, step)
        dots.select(fresh)
        sizes.append(len(dots._drawn))
    assert sizes == [1024, 1024, 512, 512, 512, 512]


@pytest.mark.parametrize("done", [0, 1, 2, 3, 4])
def test_goes_on_from_a_saved_state_in_the_middle_of_a_round(done: int) -> None:
    def step(dots: DotsSelector, number: int) -> list[int]:
        measure(dots, number)
        return numbers(dots.select(6)) + numbers(dots.select(2))

    dots = selector(40, reference=10)
    for number in range(1, done + 1):
        step(dots, number)
    saved = json.dumps(dots.state())
    expected = [step(dots, number) for number in range(done + 1, done + 6)]
    resumed = selector(40, reference=10)
    resumed.restore(json.loads(saved))
    assert [step(resumed, number) for number in range(done + 1, done + 6)] == expected


@pytest.mark.parametrize(("rate", "energy"), [(0.5, 0.21875), (0.25, 0.1640625), (0.0, 0.0)])
def test_why_one_half(rate: float, energy: float) -> None:
    """Mean squared advantage of 8 rollouts without division by their deviation: p (1 - p) (1 - 1/8)."""
    expected = 0.0
    for passes in range(9):
        chance = comb(8, passes) * rate**passes * (1 - rate) ** (8 - passes)
        advantages = grpo_advantages(np.array([1.0] * passes + [0.0] * (8 - passes), np.float32), std="none")
        expected += chance * float(np.square(advantages).mean())
    assert expected == pytest.approx(energy, abs=1e-7)


def test_a_state_of_other_prompts_is_refused_and_changes_nothing() -> None:
    large, small, untouched = selector(50), selector(5), selector(5)
    large.select(8)
    with pytest.raises(ValueError, match="another data source"):
        small.restore(large.state())
    assert small.select(3) == untouched.select(3)
