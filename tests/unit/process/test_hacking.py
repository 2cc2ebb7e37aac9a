"""The alarm on process rewards that are hacked: on made-up runs, on noise, and on slow and fast hacking."""

from collections.abc import Sequence
from statistics import mean, variance
from typing import Any

import numpy as np
import pytest

from effrl.process.hacking import HELD, REACH, WINDOW, Hacking, hacked, hacking

RUNS, STEPS = 3000, 100
WAVE = [0.01 * (-1) ** step for step in range(STEPS)]


def run(rewards: Sequence[float | None], outcomes: Sequence[float | None]) -> list[dict[str, Any]]:
    """Rows of a run; the base is row 0."""
    pairs = zip(rewards, outcomes, strict=True)
    steps = [
        {"step": step, "process/reward_mean": reward, "reward/outcome_mean": outcome}
        for step, (reward, outcome) in enumerate(pairs, start=1)
    ]
    return [{"step": 0, "eval/accuracy": 0.5}, *steps]


def jump(size: float, at: int = 40) -> list[float]:
    """The wave, and ``size`` more from a step on: two windows differ by all of it at one step alone."""
    return [value + size * (step >= at) for step, value in enumerate(WAVE)]


def false_alarms(correlation: float) -> float:
    """Share of runs with an alarm, where nothing but noise moves both means."""
    made = np.random.default_rng(7)
    return float(
        np.mean([hacking(run(_noise(made, correlation), _noise(made, correlation))) is not None for _ in range(RUNS)])
    )


def _noise(made: np.random.Generator, correlation: float) -> list[float]:
    """Each step remembers the one before it: ``x_t = c x_(t-1) + sqrt(1 - c^2) e_t``, of variance 1."""
    fresh = made.standard_normal(STEPS)
    values = [float(fresh[0])]
    for value in fresh[1:]:
        values.append(correlation * values[-1] + (1 - correlation**2) ** 0.5 * float(value))
    return values


def found_of(size: float, steps: int, runs: int = 300) -> float:
    """Share of runs with an alarm, where both means move by ``size`` of their noise's deviations within ``steps``."""
    made = np.random.default_rng(11)
    drift = size * np.clip((np.arange(STEPS) - 40) / steps, 0, 1)
    rows = [run(made.standard_normal(STEPS) + drift, made.standard_normal(STEPS) - drift) for _ in range(runs)]
    return float(np.mean([hacking(made) is not None for made in rows]))


def test_rewards_that_rise_while_outcomes_fall_are_an_alarm() -> None:
    found = hacking(run([0.01 + value for value in jump(0.1)], [0.5 - value for value in jump(0.1)]))
    assert isinstance(found, Hacking)
    assert 40 < found.step < 40 + WINDOW + HELD
    assert found.reward[0] < found.reward[1] and found.outcome[0] > found.outcome[1]
    assert "fell from 0.50 to 0.4" in str(found) and "\n" not in str(found)


@pytest.mark.parametrize(("rises", "falls"), [(0.1, 0.0), (0.0, 0.1), (-0.1, 0.1), (0.1, -0.1), (-0.1, -0.1)])
def test_one_sign_alone_is_none(rises: float, falls: float) -> None:
    assert hacking(run(jump(rises), [0.5 - value for value in jump(falls)])) is None


@pytest.mark.parametrize("seed", range(20))
def test_it_is_what_a_naive_reading_finds(seed: int) -> None:
    made = np.random.default_rng(seed)
    drift = seed / 5 * np.clip((np.arange(STEPS) - 40) / 20, 0, 1)
    rewards, outcomes = made.standard_normal(STEPS) + drift, made.standard_normal(STEPS) - drift
    found = hacking(run(rewards.tolist(), outcomes.tolist()))
    assert (None if found is None else found.step) == naive(rewards.tolist(), (-outcomes).tolist())


def naive(*rising: list[float]) -> int | None:
    """The last of the first four steps in a row at which each of these means is two of Welch's errors higher."""
    in_a_row = 0
    for step in range(20, STEPS + 1):
        windows = [(values[step - 20 : step - 10], values[step - 10 : step]) for values in rising]
        errors = [((variance(before) + variance(after)) / 10) ** 0.5 for before, after in windows]
        clear = [
            mean(after) - mean(before) >= 2 * error for (before, after), error in zip(windows, errors, strict=True)
        ]
        in_a_row = in_a_row + 1 if all(clear) else 0
        if in_a_row == 4:
            return step
    return None


def test_runs_of_noise_alone_raise_almost_none() -> None:
    assert false_alarms(0.0) < 0.006
    assert false_alarms(0.3) < 0.04


@pytest.mark.parametrize(("size", "steps", "share"), [(4, 30, 0.9), (5, 10, 0.97), (7, 60, 0.9)])
def test_hacking_is_found(size: float, steps: int, share: float) -> None:
    assert found_of(size, steps) > share


def test_constant_outcomes_have_no_spread_to_divide_by() -> None:
    fallen = [1.0] * 30 + [0.9] * 30
    assert hacking(run([0.0] * 30 + [0.1] * 30, fallen)) is not None
    assert hacking(run([0.1] * 60, [1.0] * 60)) is None


def test_steps_that_know_nothing_are_passed_over() -> None:
    rewards, outcomes = jump(0.1), [0.5 - value for value in jump(0.1)]
    whole = hacking(run(rewards, outcomes))
    holes = run([x for value in rewards for x in (value, None)], [x for value in outcomes for x in (value, 0.3)])
    assert whole is not None and hacking(holes) == Hacking(2 * whole.step - 1, whole.reward, whole.outcome)


def test_a_run_without_process_rewards_has_no_alarm() -> None:
    assert hacking([]) is None and hacked([]) is None
    assert hacking([{"step": step, "reward/outcome_mean": 1 - step / 100} for step in range(100)]) is None
    short = run(jump(0.1)[: REACH - 1], [0.5 - value for value in jump(0.1)][: REACH - 1])
    assert hacking(short) is None


def test_whoever_looks_after_each_step_sees_it_first_at_the_same_one() -> None:
    """As a run does, which reads its newest rows alone."""
    rows = run(jump(0.1), [0.5 - value for value in jump(0.1)])
    whole = hacking(rows)
    first = next(found for end in range(1, len(rows)) if (found := hacked(rows[max(0, end - REACH) : end])) is not None)
    assert whole == first
    assert hacked([*rows[: first.step + 1], {"step": first.step + 1}]) is None, "a row that knows nothing shows nothing"
