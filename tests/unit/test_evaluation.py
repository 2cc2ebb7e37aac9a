"""avg@k, pass@k and maj@k: by hand, and against every subset; which names metrics get, and what a row holds."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reads import answered, unread

from effrl.config.schema import Config
from effrl.evaluation import Estimate, Graded, best_of, estimate, first_of, measure, metrics, record
from effrl.types import Score, Status

WRONG, RIGHT, FAILED = Score(0.0, 0.0, Status.OK), Score(1.0, 1.0, Status.OK), Score(None, None, Status.TIMEOUT)
CUT_OFF = Score(0.0, 0.0, Status.TRUNCATED)


def graded(label: str, *answers: str | None) -> Graded:
    """A prompt whose samples gave these answers; None was cut off, and ``?`` is an answer that the verifier hung on."""
    verdicts = {None: CUT_OFF, label: RIGHT, "?": FAILED}
    return Graded(answered("p", *answers), label, tuple(verdicts.get(answer, WRONG) for answer in answers))


def config(**sections: Any) -> Config:
    return Config.model_validate({"data": {"train": "tasks:chain", "eval": "tasks:chain?split=dev"}, **sections})


# --- pass@k


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (4, 1, 1, 1 / 4),
        (4, 1, 2, 1 / 2),
        (4, 2, 2, 5 / 6),
        (5, 2, 3, 9 / 10),
        (10, 3, 5, 1 - 21 / 252),
        (4, 0, 2, 0.0),
        (4, 3, 2, 1.0),
        (4, 1, 4, 1.0),
    ],
)
def test_pass_at_k_by_hand(n: int, c: int, k: int, expected: float) -> None:
    """1 - C(n - c, k) / C(n, k), computed on paper."""
    assert best_of([1.0] * c + [0.0] * (n - c), k) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.data())
def test_best_of_k_is_the_mean_over_all_subsets(outcomes: list[float], data: st.DataObject) -> None:
    """For scores between 0 and 1 too, such as those of reasoning-gym."""
    k = data.draw(st.integers(1, len(outcomes)))
    subsets = [max(subset) for subset in combinations(outcomes, k)]
    assert best_of(outcomes, k) == pytest.approx(sum(subsets) / len(subsets), abs=1e-12)


@given(st.integers(1, 60), st.data())
def test_pass_at_k_is_the_estimator_of_the_paper(n: int, data: st.DataObject) -> None:
    """Its numerically stable form, as a product."""
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    stable = 1.0 if n - c < k else 1 - float(np.prod(1 - k / np.arange(n - c + 1, n + 1)))
    assert best_of([0.0] * (n - c) + [1.0] * c, k) == pytest.approx(stable, abs=1e-9)


def test_fewer_scored_samples_than_k() -> None:
    assert best_of([0.0], 4) == 0.0 and best_of([0.0, 1.0], 4) == 1.0


# --- maj@k


@pytest.mark.parametrize(
    ("answers", "vote"),
    [
        (("7", "3", "7", "5"), 1.0),
        (("3", "7", "3", "7"), 0.0),  # a tie: the answer that occurs first
        (("7", "3", "3", "7"), 1.0),
        (("3", "3", "3", "7"), 0.0),
        ((None, None, None, "7"), 1.0),  # who has no answer has no vote
        ((None, None, None, None), 0.0),
        (("?", "?", "7"), None),  # the majority's answer could not be judged
    ],
)
def test_the_majority_by_hand(answers: Sequence[str | None], vote: float | None) -> None:
    assert graded("7", *answers).vote == vote


def test_a_vote_is_judged_by_its_first_sample_that_could_be() -> None:
    read = answered("p", "7", "7", "3")
    assert Graded(read, "7", (FAILED, RIGHT, WRONG)).vote == 1.0


@given(st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=7))
def test_the_majority_against_counting(answers: list[str | None]) -> None:
    given_answers = [answer for answer in answers if answer is not None]
    winner = max(
        given_answers, key=lambda answer: (given_answers.count(answer), -given_answers.index(answer)), default=""
    )
    assert graded("1", *answers).vote == float(winner == "1")


# --- best@k, by a process reward model


def judged(label: str, *samples: tuple[str | None, float]) -> Graded:
    """A prompt whose samples gave these answers, with the scores that a process reward model gave them."""
    return replace(graded(label, *(answer for answer, _ in samples)), prm=tuple(score for _, score in samples))


@pytest.mark.parametrize(
    ("samples", "picked"),
    [
        ([("3", -0.5), ("7", 0.1), ("3", -0.1)], 1.0),
        ([("7", -0.5), ("7", -0.2), ("3", -0.1)], 0.0),
        ([("7", 0.2), ("3", 0.2)], 1.0),  # equal scores: the one that was sampled first
        ([("3", 0.2), ("7", 0.2)], 0.0),
        ([("?", 9.0), ("7", 0.1), ("3", 0.0)], 1.0),  # what could not be scored is not picked
        ([(None, -math.inf), ("7", -50.0)], 1.0),  # an empty one is only where all are
        ([(None, -math.inf), (None, -math.inf)], 0.0),
    ],
)
def test_the_pick_by_hand(samples: list[tuple[str | None, float]], picked: float) -> None:
    entry = judged("7", *samples)
    assert entry.ranked[0] == picked == first_of(entry.ranked, len(samples))


@given(st.lists(st.tuples(st.integers(-2, 2), st.floats(0, 1)), min_size=1, max_size=7), st.data())
def test_best_at_k_is_the_mean_over_all_subsets(samples: list[tuple[int, float]], data: st.DataObject) -> None:
    """Of each subset the highest score is picked, of equal ones the first."""
    k = data.draw(st.integers(1, len(samples)))
    scores = tuple(Score(outcome, outcome, Status.OK) for _, outcome in samples)
    entry = Graded(answered("p", *["7"] * len(samples)), "7", scores, tuple(float(score) for score, _ in samples))
    picks = [max(subset, key=lambda sample: sample[0])[1] for subset in combinations(samples, k)]
    assert first_of(entry.ranked, k) == pytest.approx(sum(picks) / len(picks), abs=1e-12)


@given(st.permutations(range(5)))
def test_a_prm_that_is_always_right_has_pass_at_k_and_one_that_knows_nothing_the_mean(order: list[int]) -> None:
    answers = [["7", "7", "3", "3", "5"][place] for place in order]
    oracle = judged("7", *((answer, float(answer == "7")) for answer in answers))
    assert [first_of(oracle.ranked, k) for k in (1, 2, 5)] == [best_of(oracle.outcomes, k) for k in (1, 2, 5)]
    assert first_of(oracle.ranked, 1) == pytest.approx(2 / 5)


@pytest.mark.parametrize(
    ("samples", "vote"),
    [
        ([("3", 0.0), ("3", 0.0), ("7", 9.0)], 0.0),  # 0.5 + 0.5 against less than 1
        ([("3", -1.0), ("3", -1.0), ("7", 1.0)], 1.0),  # 0.269 + 0.269 against 0.731
        ([("3", -0.1), ("3", -0.1), ("7", 0.1)], 0.0),  # 0.475 + 0.475 against 0.525
        ([("7", 0.3), ("3", 0.3)], 1.0),  # a tie: the answer that occurs first
        ([("3", 0.3), ("7", 0.3)], 0.0),
        ([("3", 2.0), ("7", 0.0), ("7", 0.0), ("7", 0.0)], 1.0),
        ([(None, 9.0), ("7", -9.0)], 1.0),  # who has no answer has no vote
        ([(None, 1.0)], 0.0),
        ([("3", -800.0), ("7", 800.0)], 1.0),  # no overflow
        ([("?", 1.0), ("7", 0.0)], None),
    ],
)
def test_the_weighted_vote_by_hand(samples: list[tuple[str | None, float]], vote: float | None) -> None:
    assert judged("7", *samples).weighted_vote == vote


@given(st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=7))
def test_equal_weights_are_the_majority(answers: list[str | None]) -> None:
    entry = judged("1", *((answer, 0.3) for answer in answers))
    assert entry.weighted_vote == entry.vote


def test_a_set_that_a_prm_judged_by_hand() -> None:
    """The majority is right once, the pick on both prompts; the gain is taken prompt by prompt."""
    sets = [
        judged("7", ("3", -0.5), ("3", -0.4), ("7", 0.1), ("5", -1.0)),
        judged("7", ("7", 0.2), ("7", 0.1), ("3", 0.0), (None, -math.inf)),
    ]
    found = measure(sets, config(eval={"pass_at": [1, 2]}))
    assert {name: value.mean for name, value in found.items()} == {
        "accuracy": pytest.approx(3 / 8),
        "pass@1": pytest.approx(3 / 8),
        "pass@2": pytest.approx((3 / 6 + 5 / 6) / 2),
        "pass@4": 1.0,
        "best@1": pytest.approx(3 / 8),
        "best@2": pytest.approx((3 / 6 + 5 / 6) / 2),
        "best@4": 1.0,
        "maj@4": 0.5,
        "weighted@4": 0.5,
        "best-maj": 0.5,
        "truncated": pytest.approx(1 / 8),
    }
    assert found["best-maj"].error == pytest.approx(0.5) and found["best@4"].error == 0.0


def test_a_reward_without_answers_has_picks_all_the_same() -> None:
    entry = replace(judged("7", ("7", 0.0), ("3", 1.0)), read=unread(answered("p", "7", "7").group))
    found = measure([entry], config(reward={"kind": "my.rewards:score"}, eval={"per_prompt": 2}))
    assert found.keys() == {"accuracy", "pass@2", "best@2", "truncated"} and found["best@2"].mean == 0.0


# --- over prompts


def test_a_mean_and_its_error_by_hand() -> None:
    """Of 0, 1, 1, 1: the sample variance is 1/4."""
    found = estimate([0.0, 1.0, None, 1.0, 1.0])
    assert found == Estimate(0.75, 0.25, 4) and found.margin == pytest.approx(0.49)
    assert math.isnan(estimate([]).mean) and math.isnan(estimate([1.0]).error)


def test_a_set_by_hand() -> None:
    found = measure(
        [graded("7", "7", "3", "3", "?"), graded("7", "7", "7", None, "1")], config(eval={"pass_at": [1, 2]})
    )
    assert {name: value.mean for name, value in found.items()} == {
        "accuracy": pytest.approx((1 / 3 + 2 / 4) / 2),
        "pass@1": pytest.approx((1 / 3 + 2 / 4) / 2),
        "pass@2": pytest.approx((2 / 3 + 5 / 6) / 2),
        "maj@4": 0.5,
        "truncated": pytest.approx(1 / 8),
    }


def test_a_prompt_that_nothing_could_be_scored_of_counts_in_no_metric() -> None:
    found = measure([graded("7", "?", "?", "?", "?"), graded("7", "7", "7", "7", "7")], config())
    assert (found["accuracy"].mean, found["accuracy"].prompts, found["pass@4"].mean) == (1.0, 1, 1.0)


def test_a_reward_of_the_users_own_has_no_vote() -> None:
    own = config(reward={"kind": "my.rewards:score"})
    entry = Graded(unread(answered("p", "7", "7", "7", "7").group), "7", (RIGHT, WRONG, RIGHT, WRONG))
    assert measure([entry], own).keys() == {"accuracy", "pass@4", "truncated"}


# --- names


def test_the_main_set_has_the_short_names() -> None:
    several = config(data={"train": "tasks:chain", "eval": {"test": "t.jsonl", "dev": "d.jsonl"}})
    row = metrics({"test": [graded("7", "3")], "dev": [graded("7", "7")]}, several)
    assert (row["eval/accuracy"], row["eval/test/accuracy"]) == (1.0, 0.0)
    assert row["eval/tokens"] == 2.0 and {"eval/pass@4", "eval/test/maj@4"} <= row.keys()


def test_one_source_has_the_names_that_it_always_had() -> None:
    row = metrics({"dev": [graded("7", "7", "3", "3", "3")]}, config())
    assert row.keys() == {"eval/accuracy", "eval/pass@4", "eval/maj@4", "eval/truncated", "eval/tokens"}
    assert (row["eval/accuracy"], row["eval/pass@4"], row["eval/maj@4"]) == (0.25, 1.0, 0.0)


def test_a_record_tells_label_and_verdict() -> None:
    found = record(graded("7", "7", "3", "7", None))
    assert (found["answer"], found["label_source"], found["reason"]) == (
        "7", "held out", "the majority's answer scores 1.00",
    )  # fmt: skip
    assert [rollout["outcome"] for rollout in found["rollouts"]] == [1.0, 0.0, 1.0, 0.0]
    assert record(graded("7", None))["reason"] == ""


def test_a_record_tells_what_the_prm_made_of_it() -> None:
    found = record(judged("7", ("3", 0.5), ("7", -0.25), (None, -math.inf)))
    assert found["reason"] == "the majority's answer scores 0.00, the PRM's pick scores 0.00"
    assert [rollout["prm"] for rollout in found["rollouts"]] == [0.5, -0.25, None]
    assert "prm" not in record(graded("7", "7"))["rollouts"][0], "nobody was asked"
