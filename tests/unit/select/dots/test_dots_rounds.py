"""What rounds of DOTS remember: references first, what was measured is believed, and comparisons with what came."""

import json
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.config.select import DotsSelect
from effrl.difficulty.metrics import evaluate, noise_ceiling_of_labels
from effrl.difficulty.online import Refitting
from effrl.difficulty.rounds import Round
from effrl.select.dots.selector import REPORTED, DotsSelector
from tests.unit.select.pools import numbers, pool, seen

SIZE = 60


def half(references: Sequence[int], rates: Sequence[float]) -> np.ndarray:
    """Predicts 0.2 to 0.8, rising over the pool."""
    return np.linspace(0.2, 0.8, SIZE)


class Fits:
    """Fits nothing, and remembers on what it should have."""

    def __init__(self, fits: bool = True) -> None:
        self.asked: list[list[Round]] = []
        self.fits = fits

    def __call__(self, rounds: Sequence[Round]) -> object:
        self.asked.append(deepcopy(list(rounds)))
        return (lambda references, rates: np.full(SIZE, 0.1)) if self.fits else None


def selector(**settings: object) -> DotsSelector:
    return DotsSelector(pool(SIZE), 1, **{"predictor": lambda rounds: half, "reference": 8, **settings})  # type: ignore[arg-type]


def rates(dots: DotsSelector, step: int, rate: float = 0.5) -> dict[str, float]:
    request = dots.request(step)
    return {prompt.id: rate for prompt in request.prompts} if request else {}


@given(st.integers(1, 30), st.integers(2, 40))
def test_chosen_references_come_in_the_first_step_as_many_as_it_has_room_for(count: int, reference: int) -> None:
    dots = selector(reference=reference)
    found = rates(dots, 1)
    dots.receive(1, found)
    first, second = dots.select(count), dots.select(count)
    chosen = [prompt.id in found for prompt in (*first, *second)]
    assert chosen == sorted(chosen, reverse=True) or not any(chosen[: len(first)])
    assert sum(chosen[:count]) == min(count, sum(chosen))


def test_what_was_measured_is_believed() -> None:
    dots = selector()
    found = dict(zip(rates(dots, 1), np.linspace(0, 1, 8).tolist(), strict=True))
    dots.receive(1, found)
    expected = 1 - half([], [])
    for prompt_id, rate in found.items():
        expected[dots.index[prompt_id]] = 1 - rate
    np.testing.assert_allclose(dots.difficulty, expected)


def test_new_references_are_compared_with_what_was_expected_of_them() -> None:
    """Written out: expectations of the round before, for references that were not measured then."""
    dots = selector(tries=4)
    first = rates(dots, 1)
    dots.receive(1, first)
    assert dots.metrics() == {"select/fitted": 0.0}, (
        "nothing was expected before the first round, and nothing is drawn yet"
    )
    second = {prompt_id: (7 * n % 5) / 4 for n, prompt_id in enumerate(rates(dots, 3))}
    expected = {prompt_id: half([], [])[dots.index[prompt_id]] for prompt_id in second}
    dots.receive(3, second)
    new = [prompt_id for prompt_id in second if prompt_id not in first]
    predicted, measured = (np.array([part[prompt_id] for prompt_id in new]) for part in (expected, second))
    found = evaluate(predicted, measured)
    ceiling = {"select/noise_ceiling": noise_ceiling_of_labels(measured, 4)}
    assert dots.metrics() == pytest.approx(
        {f"select/{name}": found[name] for name in REPORTED} | ceiling | {"select/fitted": 1.0}
    )
    drawn = numbers(dots.select(5)) + dots._queue
    expected_difficulty = dots.metrics()["select/difficulty_expected"]
    assert expected_difficulty == pytest.approx(np.mean([dots.difficulty[index] for index in drawn]))


def test_a_fit_sees_all_of_earlier_rounds_and_only_the_references_of_this_one() -> None:
    fits = Fits()
    dots = selector(predictor=fits, keep=3)
    for step in (1, 3, 5, 7):
        dots.receive(step, rates(dots, step, step / 100))  # too hard to be chosen
        prompts = dots.select(4)
        dots.observe([seen(number, 2.0) for number in numbers(prompts)])
    assert [len(asked) for asked in fits.asked] == [1, 2, 3, 3]
    assert [[len(entry.references) for entry in asked] for asked in fits.asked] == [[8], [8] * 2, [8] * 3, [8] * 3]
    newest = fits.asked[-1]
    assert not newest[-1].others and all(entry.others for entry in newest[:-1])
    assert set(newest[-1].references.values()) == {0.07} and set(newest[0].others.values()) == {0.25}
    assert all(not entry.references.keys() & entry.others.keys() for entry in newest)


@pytest.mark.parametrize("recent", [0, 1, 2])
def test_groups_of_earlier_rounds_refer_too_the_newest_of_each_prompt(recent: int) -> None:
    asked: list[dict[int, float]] = []

    def predict(references: Sequence[int], rates: Sequence[float]) -> np.ndarray:
        asked.append(dict(zip(references, rates, strict=True)))
        return half(references, rates)

    dots = selector(predictor=lambda rounds: predict, recent=recent)
    known: list[dict[int, float]] = []
    for step in (1, 3, 5):
        found = rates(dots, step, step / 100)
        dots.receive(step, found)
        references = {dots.index[prompt_id]: rate for prompt_id, rate in found.items()}
        expected = {}
        for earlier in known[len(known) - recent :]:
            expected |= earlier
        drawn = numbers(dots.select(4))
        assert asked[-1] == expected | references
        dots.observe([seen(number, 2.0) for number in drawn])
        known.append({**dict.fromkeys(drawn, 0.25), **references})


def test_without_a_fit_draws_stay_uniform() -> None:
    for fits, expected in ((True, 0.9), (False, 0.5)):
        dots = selector(predictor=Fits(fits))
        dots.receive(1, {"p/7": 0.5})
        assert dots.difficulty[0] == pytest.approx(expected)
        dots.select(1)
        assert dots.metrics()["select/fitted"] == float(fits)


@pytest.mark.parametrize("done", [0, 1, 2, 3, 5, 6])
def test_resumed_equals_uninterrupted_with_a_network_fitted_in_the_run(done: int) -> None:
    embeddings = np.random.default_rng(1).normal(size=(SIZE, 8)).astype(np.float32)
    how = DotsSelect(hidden=8, layers=1, epochs=2)

    def made() -> DotsSelector:
        return DotsSelector(pool(SIZE), 1, Refitting(embeddings, how, 1, 8), 6, warmup=1, keep=how.keep)

    def step(dots: DotsSelector, number: int) -> tuple[list[int], dict[str, float]]:
        if request := dots.request(number):
            dots.receive(number, {prompt.id: index % 9 / 8 for index, prompt in enumerate(request.prompts)})
        chosen = numbers(dots.select(7)) + numbers(dots.select(2))
        dots.observe([seen(index, float(index % 9)) for index in chosen])
        return chosen, dict(dots.metrics())

    dots = made()
    for number in range(1, done + 1):
        step(dots, number)
    saved = json.dumps(dots.state())
    expected = [step(dots, number) for number in range(done + 1, done + 5)]
    resumed = made()
    resumed.restore(json.loads(saved))
    assert [step(resumed, number) for number in range(done + 1, done + 5)] == expected
