from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from effrl.acceptable import joined
from effrl.protocols import Verdict
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.sandbox.worker import judge
from effrl.types import Score, Status


def judged(found: Any, truncated: bool = False) -> Score:
    return judge(lambda completion, label, meta: found, ScoringTask("text", "46", {}, truncated))


@pytest.mark.parametrize("found", [1, True, 1.0, np.float32(1), np.int64(1), np.bool_(True), Fraction(1), Verdict(1)])
def test_numbers_are_outcomes(found: Any) -> None:
    assert judged(found) == Score(1.0, 1.0, Status.OK)


@pytest.mark.parametrize("found", ["1.0", None, [1.0], float("nan"), -0.1, 1.1, float("inf"), Verdict(2.0), 1 + 0j])
def test_anything_else_is_an_error(found: Any) -> None:
    score = judged(found)
    assert (score.outcome, score.reward, score.status) == (None, None, Status.ERROR)
    assert "returned" in score.detail


def test_no_answer_is_zero_with_its_status() -> None:
    unparseable = Verdict(0.0, None, Status.UNPARSEABLE)
    assert judged(unparseable) == Score(0.0, 0.0, Status.UNPARSEABLE)
    assert judged(unparseable, truncated=True) == Score(0.0, 0.0, Status.TRUNCATED)


def test_a_truncated_rollout_with_an_answer_is_judged_by_it() -> None:
    assert judged(Verdict(1.0, "46"), truncated=True) == Score(1.0, 1.0, Status.OK, "46")


def raises(error: BaseException) -> Callable[..., float]:
    def reward(completion: str, label: str | None, meta: Any) -> float:
        raise error

    return reward


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (ValueError("two\nlines"), Status.ERROR, "ValueError: two lines"),
        (KeyboardInterrupt(), Status.ERROR, "KeyboardInterrupt:"),
        (MemoryError("5 GiB"), Status.MEMORY, "MemoryError"),
        (OSError(12, "Cannot allocate memory"), Status.MEMORY, "OSError: [Errno 12] Cannot allocate memory"),
        (OSError(2, "No such file"), Status.ERROR, "FileNotFoundError: [Errno 2] No such file"),
        (SystemExit(3), Status.CRASHED, "sys.exit(3)"),
    ],
)
def test_what_is_raised_becomes_a_status(error: BaseException, status: Status, detail: str) -> None:
    assert judge(raises(error), ScoringTask("text", "46", {}, False)) == Score(None, None, status, detail=detail)


# --- several acceptable answers


def asked(label: str, reward: Callable[..., Any], completion: str = "46") -> Score:
    return judge(reward, ScoringTask(completion, label, {}, False))


def equal(completion: str, label: str | None, meta: Any) -> Verdict:
    if label == "unreadable":
        raise ValueError("the label cannot be read")
    return Verdict(float(completion == label), completion)


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        (["46", "45"], 1.0),
        (["45", "46"], 1.0),
        (["44", "45"], 0.0),
        (["unreadable", "46"], 1.0),
        (["46", "unreadable"], 1.0),
        (["unreadable", "45"], 0.0),
    ],
)
def test_one_acceptable_answer_is_enough(answers: list[str], outcome: float) -> None:
    assert asked(joined(answers), equal) == Score(outcome, outcome, Status.OK, "46")


def test_a_failure_stands_where_no_answer_can_be_judged() -> None:
    assert asked(joined(["unreadable", "unreadable "]), raises(ValueError("no"))).status is Status.ERROR


def test_the_best_of_shares_counts() -> None:
    shares = {"a": 0.25, "b": 0.75, "c": 0.5}
    assert asked(joined("abc"), lambda completion, label, meta: shares[label]).outcome == 0.75


def test_a_plug_in_never_sees_the_list() -> None:
    seen = []
    asked(joined(["1", "2"]), lambda completion, label, meta: seen.append(label) or 0.0)
    assert seen == ["1", "2"]


def test_no_other_answer_is_tried_out_of_memory() -> None:
    seen = []

    def hungry(completion: str, label: str | None, meta: Any) -> float:
        seen.append(label)
        raise MemoryError

    assert asked(joined(["1", "2"]), hungry).status is Status.MEMORY
    assert seen == ["1"]


def test_no_answer_keeps_its_status() -> None:
    score = asked(joined(["1", "2"]), lambda *_: Verdict(0.0, None, Status.UNPARSEABLE))
    assert score == Score(0.0, 0.0, Status.UNPARSEABLE)


def test_answers_that_are_compared_with_each_other_are_not_split() -> None:
    """Both are the policy's: it would gain votes by writing several answers into one."""
    task = ScoringTask("46", joined(["46", "45"]), {}, False, "same")
    assert judge(equal, task).outcome == 0.0
