"""Answers and their equivalence classes, and the rewards of those who are members."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
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
from effrl.reward.reading import AnswerPair, Completions, Equal, answers_of, by_text, clusters, equality, membership
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.sandbox.worker import judge
from effrl.reward.verifiers import load, same
from effrl.types import Decision, Judged, Score, Status, Supervision


def in_process(tasks: Sequence[ScoringTask]) -> list[Score]:
    return [judge(same, task) for task in tasks]


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
    completions = Completions("p", ("12+34=46;#46", "12+34", "\\boxed{\\frac12}"), meta)
    assert answers_of(verifier, [completions], never) == [answers]


def test_answers_of_several_groups() -> None:
    groups = [Completions("p", ("(B)", "B or C"), {}), Completions("q", ("c",), {})]
    assert answers_of(ChoiceVerifier(), groups, never) == [("B", None), ("C",)]


def test_a_pattern_of_the_users_own_runs_where_it_can_be_killed() -> None:
    verifier = RegexVerifier(pattern="it is (.*)", normalise=True)
    groups = [Completions("p", ("it is One", "two"), {}), Completions("q", ("it is  ONE.",), {})]
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


def clustered(answers: Sequence[str | None], equal: Equal = by_text) -> tuple[int | None, ...]:
    [found] = clusters([("p", answers)], equal)
    return found


def related(same: Callable[[str, str], bool]) -> Equal:
    return lambda pairs: [same(pair.one, pair.other) for pair in pairs]


class Grader:
    """Judges in this process, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, tasks: Sequence[ScoringTask]) -> list[Score]:
        self.asked += [(task.completion, task.label or "") for task in tasks]
        return in_process(tasks)


def test_math_finds_what_is_equivalent() -> None:
    """RLAVR/CARE 1.1 and EasyRL (c) 3: the same value in three forms is one answer."""
    equal = equality(MathVerifier(), in_process)
    assert clustered(("1/2", "0.5", None, "\\frac12", "0.51"), equal) == (0, 0, None, 0, 1)


def test_either_direction_counts() -> None:
    """For a label of 46, ``12+34`` leaves the work to the verifier; for a label of ``12+34``, 46 is right."""
    equal = equality(MathVerifier(), in_process)
    assert clustered(("12+34", "46", "46", "47"), equal) == (0, 0, 0, 1)
    assert clustered(("47", "46", "46", "12+34"), equal) == (1, 0, 0, 0)


def test_a_pair_that_cannot_be_judged_is_not_equivalent() -> None:
    def timeout(tasks: Sequence[ScoringTask]) -> list[Score]:
        return [Score(None, None, Status.TIMEOUT) for _ in tasks]

    assert clustered(("1/2", "0.5"), equality(MathVerifier(), timeout)) == (0, 1)


def test_an_answer_that_cannot_be_read_equals_itself_alone() -> None:
    equal = equality(MathVerifier(), in_process)
    assert clustered(("\\frac{", "=-01", "\\frac{", "7"), equal) == (0, 1, 0, 2)


@pytest.mark.parametrize(
    "verifier", [ExactVerifier(), TaskVerifier(), ChoiceVerifier(), RegexVerifier(pattern="(.)"), None]
)
def test_texts_are_compared_as_they_are(verifier: AnyVerifier | None) -> None:
    assert clustered(("a", "b", "a"), equality(verifier, never)) == (0, 1, 0)


def test_numbers_and_words_need_no_verifier() -> None:
    equal = equality(MathVerifier(), never)
    assert clustered(("46", "046", "45", "-46"), equal) == (0, 0, 1, 2)
    assert clustered(("cat", "\\text{Cat}", "act"), equal) == (0, 0, 1)


def test_each_pair_of_texts_is_judged_once_in_a_run() -> None:
    grade = Grader()
    equal = equality(MathVerifier(), grade)
    once = clusters([("p", ("1/2", "0.5")), ("q", ("0.5", "1/2", "1/3"))], equal)
    assert clusters([("p", ("0.5", "1/2")), ("q", ("1/3", "1/2", "0.5"))], equal) == [(0, 0), (1, 0, 0)]
    assert once == [(0, 0), (0, 0, 1)]
    assert grade.asked == [("0.5", "1/2"), ("0.5", "1/3")]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    grade = Grader()
    equal = equality(MathVerifier(), grade)
    monkeypatch.setattr(type(equal), "MOST", 2)
    pairs = [AnswerPair("p", "1/2", f"1/{n}") for n in range(3, 6)]
    assert equal(pairs) == [False] * 3
    assert equal(pairs[1:]) == [False] * 2
    assert len(grade.asked) == 3, "the two latest were known"
    equal(pairs[:1])
    assert len(grade.asked) == 4


def test_answers_are_compared_with_representatives_only() -> None:
    """16 ways to write one half: 15 comparisons, where all pairs would be 120."""
    asked: list[AnswerPair] = []

    def equal(pairs: Sequence[AnswerPair]) -> list[bool]:
        asked.extend(pairs)
        return [True] * len(pairs)

    assert clustered([f"{n}/{2 * n}" for n in range(1, 17)], equal) == (0,) * 16
    assert len(asked) == 15 and len({pair.one for pair in asked}) == 1


def test_groups_are_compared_side_by_side() -> None:
    """One call of the verifier's workers for each class of the group that has most, not for each group."""
    calls: list[int] = []

    def equal(pairs: Sequence[AnswerPair]) -> list[bool]:
        calls.append(len(pairs))
        return [False] * len(pairs)

    found = clusters([("p", "abc"), ("q", "de"), ("r", [None]), ("s", "f")], equal)
    assert found == [(0, 1, 2), (0, 1), (None,), (0,)]
    assert calls == [2 + 1, 1, 0]


@pytest.mark.parametrize(
    ("answers", "numbers"),
    [
        ((), ()),
        ((None, None), (None, None)),
        (("1", "2", "2"), (1, 0, 0)),
        (("1", "2", "2", "1"), (0, 1, 1, 0)),  # of equals, the one that occurs first
        (("3", "1", None, "1", "2"), (1, 0, None, 0, 2)),
    ],
)
def test_clusters_by_hand(answers: tuple[str | None, ...], numbers: tuple[int | None, ...]) -> None:
    assert clustered(answers) == numbers


@given(st.lists(st.none() | st.sampled_from("abcd"), max_size=12))
def test_clusters_are_a_partition_by_size(answers: list[str | None]) -> None:
    found = clustered(answers)
    assert [number is None for number in found] == [answer is None for answer in answers]
    pairs = [(a, n) for a, n in zip(answers, found, strict=True) if a is not None]
    assert len(set(pairs)) == len({a for a, _ in pairs}) == len({n for _, n in pairs}), "one number for each answer"
    sizes = [found.count(number) for number in range(len({n for _, n in pairs}))]
    assert sizes == sorted(sizes, reverse=True)


def together(found: Sequence[int | None], order: Sequence[int]) -> set[frozenset[int]]:
    """Which rollouts are of one class, under the numbers that they have before they are put into this order."""
    places: dict[int, set[int]] = {}
    for number, place in zip(found, order, strict=True):
        if number is not None:
            places.setdefault(number, set()).add(place)
    return {frozenset(members) for members in places.values()}


@given(
    st.lists(st.none() | st.sampled_from("abcdef"), max_size=9).flatmap(
        lambda answers: st.tuples(st.just(answers), st.permutations(range(len(answers))))
    ),
    st.sets(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef"))),
)
def test_permuting_the_rollouts_permutes_the_clusters(
    group: tuple[list[str | None], list[int]], relation: set[tuple[str, str]]
) -> None:
    """Whatever the verifier calls equal: neither transitive nor, as in ``_leaves_work``, symmetric."""
    answers, order = group
    equal = related(lambda a, b: (a, b) in relation)
    before = clustered(answers, equal)
    after = clustered([answers[place] for place in order], equal)
    assert together(before, range(len(answers))) == together(after, order)
    sizes = sorted(before.count(number) for number in {*before} - {None})
    if len(sizes) == 1 or sizes[-2:-1] < sizes[-1:]:  # a vote that is no draw is the same vote
        assert [number == 0 for number in after] == [before[place] == 0 for place in order]


@settings(deadline=None, max_examples=50)
@given(st.permutations(["12+34", "46", "46.0", "\\frac{92}{2}", "40+6", "47", "cat", "act", None]))
def test_so_it_is_with_math_verify(answers: list[str | None]) -> None:
    found = clustered(answers, EQUAL)
    classes = {number: {a for a, n in zip(answers, found, strict=True) if n == number} for number in {*found}}
    assert sorted(map(sorted, ({str(a) for a in members} for members in classes.values()))) == [
        ["12+34", "40+6", "46", "46.0", "\\frac{92}{2}"],
        ["47"],
        ["None"],
        ["act"],
        ["cat"],
    ]


EQUAL = equality(MathVerifier(), in_process)


def test_classes_do_not_grow_along_a_chain() -> None:
    """Each joins the first class whose first text it equals; the most frequent text comes first, then the alphabet."""
    near = related(lambda a, b: abs(float(a) - float(b)) <= 1)
    assert clustered(("1", "2", "3"), near) == (0, 0, 1), "3 is near 2, but not near 1"
    assert clustered(("3", "2", "1"), near) == (1, 0, 0)
    assert clustered(("1", "2", "3", "2"), near) == (0, 0, 0, 0), "all are near what most say"


def test_members_are_rewarded_and_not_graded_again() -> None:
    read = answered("p", "7", "7", "8", None)
    vote = majority(read)
    scores = membership(Judged(read, Decision.USE, vote))
    assert [score.outcome for score in scores] == [1.0, 1.0, 0.0, 0.0]
    assert [score.answer for score in scores] == ["7", "7", "8", None]
    assert [score.status for score in scores] == [Status.OK, Status.OK, Status.OK, Status.TRUNCATED]


def test_values_are_rewards_in_place_of_membership() -> None:
    """Pass rates still tell who agrees with the vote; a rollout without an answer may have a value too."""
    read = answered("p", "7", "7", "8", None)
    soft = Supervision("vote", "7", cluster=0, values=(0.5, 0.5, 0.25, -0.125))
    scores = membership(Judged(read, Decision.USE, soft))
    assert [score.outcome for score in scores] == [1.0, 1.0, 0.0, 0.0]
    assert [score.reward for score in scores] == [0.5, 0.5, 0.25, -0.125]
    assert [score.status for score in scores] == [Status.OK, Status.OK, Status.OK, Status.TRUNCATED]


def test_labels_have_no_members() -> None:
    read = answered("p", "7")
    assert membership(Judged(read, Decision.USE, Supervision("gold", "7"))) == ()
    assert membership(Judged(read, Decision.DROP)) == ()
