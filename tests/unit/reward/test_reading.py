"""Answers and their equivalence classes, and the rewards of those who are members."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reads import answered

from effrl.config.reward import (
    AnyVerifier,
    ChoiceVerifier,
    ExactVerifier,
    MathVerifier,
    PluginVerifier,
    RegexVerifier,
    SumPart,
    SumReward,
    TaskVerifier,
    answering,
)
from effrl.label.vote import majority
from effrl.reward.reading import answers_of, cluster, equivalence, membership
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.sandbox.worker import judge
from effrl.reward.verifiers import load, math
from effrl.types import Decision, Judged, Score, Status, Supervision


def in_process(tasks: Sequence[ScoringTask]) -> list[Score]:
    return [judge(math, task) for task in tasks]


def never(tasks: Sequence[ScoringTask]) -> list[Score]:
    raise AssertionError("texts can be compared without a verifier")


@pytest.mark.parametrize(
    ("verifier", "meta", "answers"),
    [
        (MathVerifier(), {}, ("46", None, "\\frac12")),
        (ExactVerifier(), {}, ("46", None, "\\frac12")),
        (TaskVerifier(), {"family": "chain"}, ("46", None, None)),  # a fraction is no answer of this family
        (None, {}, (None, None, None)),
    ],
)
def test_answers(verifier: AnyVerifier | None, meta: dict[str, Any], answers: tuple[str | None, ...]) -> None:
    completions = ["12+34=46;#46", "12+34", "\\boxed{\\frac12}"]
    assert answers_of(verifier, [(completions, meta)], never) == [answers]


def test_answers_of_several_groups() -> None:
    groups = [(["(B)", "B or C"], {}), (["c"], {})]
    assert answers_of(ChoiceVerifier(), groups, never) == [("B", None), ("C",)]


def test_a_pattern_of_the_users_own_runs_where_it_can_be_killed() -> None:
    verifier = RegexVerifier(pattern="it is (.*)", normalise=True)
    groups = [(["it is One", "two"], {}), (["it is  ONE."], {})]
    grade = lambda tasks: [judge(load(verifier), task) for task in tasks]  # noqa: E731
    assert answers_of(verifier, groups, grade) == [("one", None), ("one",)]
    timeout = lambda tasks: [Score(None, None, Status.TIMEOUT) for _ in tasks]  # noqa: E731
    assert answers_of(verifier, groups, timeout) == [(None, None), (None,)]


def test_of_a_sum_the_first_part_that_can_tells_the_answers() -> None:
    own, first, second = (
        SumPart(reward=verifier) for verifier in (PluginVerifier(kind="my:own"), ChoiceVerifier(), MathVerifier())
    )
    assert answering(SumReward(parts=(own, first, second))) == ChoiceVerifier()
    assert answering(SumReward(parts=(own,))) is None


def test_math_finds_what_is_equivalent() -> None:
    """RLAVR/CARE 1.1 and EasyRL (c) 3: the same value in three forms is one answer."""
    [same] = equivalence(MathVerifier(), [("1/2", "0.5", None, "\\frac12", "0.51")], in_process)
    assert cluster(("1/2", "0.5", None, "\\frac12", "0.51"), same) == (0, 0, None, 0, 1)


def test_a_pair_that_cannot_be_judged_is_not_equivalent() -> None:
    def timeout(tasks: Sequence[ScoringTask]) -> list[Score]:
        return [Score(None, None, Status.TIMEOUT) for _ in tasks]

    [same] = equivalence(MathVerifier(), [("1/2", "0.5")], timeout)
    assert cluster(("1/2", "0.5"), same) == (0, 1)


@pytest.mark.parametrize(
    "verifier", [ExactVerifier(), TaskVerifier(), ChoiceVerifier(), RegexVerifier(pattern="(.)"), None]
)
def test_texts_are_compared_as_they_are(verifier: AnyVerifier | None) -> None:
    [same] = equivalence(verifier, [("a", "b", "a")], never)
    assert cluster(("a", "b", "a"), same) == (0, 1, 0)


@pytest.mark.parametrize(
    ("answers", "clusters"),
    [
        ((), ()),
        ((None, None), (None, None)),
        (("1", "2", "2"), (1, 0, 0)),
        (("1", "2", "2", "1"), (0, 1, 1, 0)),  # of equals, the one that occurs first
        (("3", "1", None, "1", "2"), (1, 0, None, 0, 2)),
    ],
)
def test_clusters_by_hand(answers: tuple[str | None, ...], clusters: tuple[int | None, ...]) -> None:
    assert cluster(answers, str.__eq__) == clusters


@given(st.lists(st.none() | st.sampled_from("abcd"), max_size=12))
def test_clusters_are_a_partition_by_size(answers: list[str | None]) -> None:
    found = cluster(answers, str.__eq__)
    assert [number is None for number in found] == [answer is None for answer in answers]
    pairs = [(a, n) for a, n in zip(answers, found, strict=True) if a is not None]
    assert len(set(pairs)) == len({a for a, _ in pairs}) == len({n for _, n in pairs}), "one number for each answer"
    sizes = [found.count(number) for number in range(len({n for _, n in pairs}))]
    assert sizes == sorted(sizes, reverse=True)


def test_a_relation_that_is_not_transitive_has_one_result() -> None:
    near = lambda a, b: abs(float(a) - float(b)) <= 1  # noqa: E731
    assert cluster(("1", "2", "3"), near) == (0, 0, 1), "3 is near 2, but 1 came first"


def test_members_are_rewarded_and_not_graded_again() -> None:
    read = answered("p", "7", "7", "8", None)
    vote = majority(read)
    scores = membership(Judged(read, Decision.USE, vote))
    assert [score.outcome for score in scores] == [1.0, 1.0, 0.0, 0.0]
    assert [score.answer for score in scores] == ["7", "7", "8", None]
    assert [score.status for score in scores] == [Status.OK, Status.OK, Status.OK, Status.TRUNCATED]


def test_labels_have_no_members() -> None:
    read = answered("p", "7")
    assert membership(Judged(read, Decision.USE, Supervision("gold", "7"))) == ()
    assert membership(Judged(read, Decision.DROP)) == ()
