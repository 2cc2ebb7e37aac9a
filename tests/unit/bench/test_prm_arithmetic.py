"""The arithmetic of the bench of implicit PRMs: pairs, deciding tokens, and moments of gradients."""

import random

import numpy as np
import pytest

from effrl.process.metrics import pairwise_accuracy
from effrl.tasks import chain
from effrl.tasks.problem import Problem, Worked
from tests.bench.prm.branch import located
from tests.bench.prm.decided import Place, branch, parting, places
from tests.bench.prm.moments import moments, products, with_intervals
from tests.bench.prm.pairs import accuracy, area, count

PROBLEM = Problem("7a5=", "a", 0, Worked(("5-7=-2",), "-2"), Worked(("7-5=2",), "2"))

# --- pairs


def test_pairs_are_counted_by_how_alike_their_lengths_are() -> None:
    outcomes, scores = np.array([1, 1, 0], np.float32), np.array([2.0, 0.0, 1.0])
    found = count([outcomes], [scores], [[20, 19, 19]])
    assert found == {"all": (1.0, 2), "alike": (1.0, 2), "equal": (0.0, 1)}
    assert count([outcomes], [scores], [[30, 19, 19]])["alike"] == (0.0, 1)
    assert count([], [], []) == {"all": (0.0, 0), "alike": (0.0, 0), "equal": (0.0, 0)}


def test_pairs_of_steps_are_pooled() -> None:
    assert accuracy([{"all": (3.0, 4)}, {"all": (0.5, 1)}], "all") == 0.7
    assert accuracy([{"all": (0.0, 0)}], "all") is None


def test_one_group_is_counted_as_the_core_does() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        outcomes = draw.permutation([1, 1, 1, 0, 0]).astype(np.float32)
        scores, lengths = draw.integers(4, size=5).astype(np.float64), draw.integers(8, 24, size=5).tolist()
        found = count([outcomes], [scores], [lengths])
        assert accuracy([found], "all") == pytest.approx(pairwise_accuracy([outcomes], [scores]))
        alike = pairwise_accuracy([outcomes], [scores], [lengths])
        assert accuracy([found], "alike") == (None if np.isnan(alike) else pytest.approx(alike))


def test_the_area_compares_rollouts_of_all_groups() -> None:
    assert area(np.array([1, 1, 0, 0], np.float32), np.array([3.0, 1.0, 1.0, 0.0])) == 0.875
    assert area(np.ones(3, np.float32), np.arange(3.0)) is None


# --- deciding tokens


def test_texts_part_where_they_first_differ_or_one_ends() -> None:
    assert (parting("abc", "abd"), parting("abc", "ab"), parting("abc", "abc")) == (2, 2, None)


@pytest.mark.parametrize(
    ("text", "left", "decided"),
    [
        ("5-7=-2;#-2", None, [Place(0, True)]),
        ("7-5=2;#2", 0, [Place(0, False)]),
        ("8-5=3;#3", 0, [Place(0, None)]),
        ("5-7=-3;#-3", 5, [Place(0, True)]),
        ("", 0, []),
    ],
)
def test_a_solution_of_one_letter(text: str, left: int | None, decided: list[Place]) -> None:
    assert branch(PROBLEM, text) == left
    assert places("chain", PROBLEM, text) == decided


def test_a_solution_that_errs_before_its_letter_has_not_decided() -> None:
    problem = chain.make(random.Random(1), 4, "c")
    while parting(problem.right.text, problem.misread.text) == 0:
        problem = chain.make(random.Random(problem.prompt), 4, "c")
    assert places("chain", problem, f"?{problem.right.text[1:]}") == []


def test_a_token_stands_out_by_size() -> None:
    found = located(np.array([0.1, -0.3, 0.2, 0.0], np.float32), 1)
    assert found == pytest.approx(
        {
            "largest": 1,
            "among_3": 1,
            "lowest": 1,
            "negative": 1,
            "squares": 0.09 / 0.14,
            "chance": 0.25,
            "chance_3": 0.75,
        }
    )
    assert located(np.array([0.1, -0.3, 0.2, 0.0], np.float32), 3)["among_3"] == 0
    assert located(np.zeros(4, np.float32), 0)["squares"] == 0


# --- moments


def gradients(noise: float, groups: int = 4000) -> np.ndarray:
    """Of mean (1, 0), with so much standard deviation in each of the two directions."""
    return np.array([1.0, 0.0]) + noise * np.random.default_rng(1).standard_normal((groups, 2))


def test_half_the_noise_is_worth_four_times_the_groups() -> None:
    found = moments(products({"base": gradients(1.0, 500), "half": gradients(0.5, 500)}, "base"), "base", np.ones(500))
    assert found["base"]["signal"] == pytest.approx(8 / 2, rel=0.2)
    assert found["half"]["trace"] == pytest.approx(0.25)
    assert found["half"]["gain"] == pytest.approx(4, rel=0.2)
    assert found["half"]["cosine"] == pytest.approx(1, abs=0.05)


def test_a_larger_step_is_worth_nothing() -> None:
    base = gradients(2.0, 200)
    found = moments(products({"base": base, "twice": 2 * base}, "base"), "base", np.ones(200))["twice"]
    assert found == pytest.approx({"trace": 4, "signal": found["signal"], "cosine": 1, "gain": 1})


def test_means_are_without_their_own_noise() -> None:
    """Of the naive squared norm of a mean of few noisy gradients, nearly all would be noise."""
    drawn = [gradients(10.0)[8 * n : 8 * n + 8] for n in range(500)]
    told = [moments(products({"base": one}, "base"), "base", np.ones(8))["base"]["signal"] for one in drawn]
    traces = [float(np.trace(np.cov(one.T))) / 8 for one in drawn]
    assert np.mean([signal * trace for signal, trace in zip(told, traces, strict=True)]) == pytest.approx(1, abs=1.2)


def test_a_group_that_was_drawn_twice_counts_twice() -> None:
    base, twice = gradients(2.0, 6), np.array([2.0, 1, 0, 1, 1, 1])
    inner = base @ base.T
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    weights = np.array([twice[i] * twice[j] for i, j in pairs])
    squared = sum(w * inner[i, j] for w, (i, j) in zip(weights, pairs, strict=True)) / weights.sum()
    trace = twice @ np.diag(inner) / twice.sum() - squared
    found = moments(products({"base": base}, "base"), "base", twice)["base"]
    assert found["signal"] == pytest.approx(8 * squared / trace)


def test_intervals_hold_their_value() -> None:
    base = gradients(1.0, 300)
    found = with_intervals(products({"base": base, "half": gradients(0.5, 300)}, "base"), "base", [100, 200])
    assert found["base"]["trace"] == [1.0, 1.0, 1.0]
    value, low, high = found["half"]["gain"]
    assert low < value < high and low > 3
