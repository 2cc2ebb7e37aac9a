"""TraPO's filter: the numbers of the method, and a second implementation."""

import statistics
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reads import answered, step_of

from effrl.batch import Settled
from effrl.config.rest import TrapoRest
from effrl.label.care.records import Lesson
from effrl.label.halves import Candidate, Left, Rank
from effrl.label.rest.trapo import TrapoFilter, agreement, likeness, places
from effrl.types import Decision, Fate, Judged, Score, ScoredGroup, Status, Supervision, View

REFERENCE = {"d1": [0.25, 0.5, 0.5, 0.75], "d2": [0.0, 0.25, 0.5, 0.5]}
QUERIES = {
    "u1": [0.5, 0.625, 0.75, 0.875],
    "u2": [0.875, 0.75, 0.625, 0.625],
    "u3": [0.5] * 4,
    "u4": [0.375, 0.75, 0.375, 0.75],
}
SCORES = [0.946282, -0.926401, 0, 0.504309]
LESSON = Lesson()


def filter_of(warmup: int = 4, **settings: float) -> TrapoFilter:
    labelled, voted = [{name: list(rates) for name, rates in known.items()} for known in (REFERENCE, QUERIES)]
    return TrapoFilter(TrapoRest(warmup=warmup, **settings), labelled, voted)  # type: ignore[arg-type]


def left_by(filter_: TrapoFilter, names: Sequence[str], answers: str = "1112") -> list[Left]:
    candidates = [Candidate(answered(name, *answers), View()) for name in names]
    trusts = filter_.trust(step_of(9), candidates, len(candidates))
    return [Left(entry, Rank(0.0), trust) for entry, trust in zip(candidates, trusts, strict=True)]


def used(filter_: TrapoFilter, left: Sequence[Left]) -> list[str]:
    verdicts = filter_.judge(step_of(9), left)
    trained = [isinstance(verdict, Supervision) for verdict in verdicts]
    return [entry.candidate.prompt_id for entry, trains in zip(left, trained, strict=True) if trains]


def test_scores_of_the_method() -> None:
    assert [likeness(rates, list(REFERENCE.values())) for rates in QUERIES.values()] == pytest.approx(SCORES, abs=1e-6)
    filter_ = filter_of()
    left = left_by(filter_, list(QUERIES))
    assert [entry.trust.score for entry in left] == pytest.approx(SCORES, abs=1e-6)
    assert not any(entry.trust.held for entry in left), "it keeps nobody out of the ranking"
    assert used(filter_, left) == ["u1", "u4"]


def test_a_mastered_prompt_does_not_silence_the_others() -> None:
    """Read by the letter, a constant member would leave only the first of them above the threshold."""
    members = [*REFERENCE.values(), [1.0] * 4]
    assert [likeness(rates, members) for rates in QUERIES.values()] == pytest.approx(SCORES, abs=1e-6)
    assert likeness(QUERIES["u1"], [[1.0] * 4]) is None


def test_the_mean_correlation_has_a_bound() -> None:
    units = [(np.array(rates) - np.mean(rates)) / np.std(rates) / 2 for rates in REFERENCE.values()]
    bound = float(np.linalg.norm(np.mean(units, axis=0)))
    assert bound == pytest.approx(0.962497, abs=1e-6)
    assert all(abs(score) <= bound for score in SCORES)


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=3, max_size=7),
    st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=7), max_size=5),
)
def test_likeness_by_the_letter(history: list[float], members: list[list[float]]) -> None:
    found = []
    for member in members:
        both = list(zip(history, member, strict=False))
        if len(both) >= 3 and len({theirs for _, theirs in both}) > 1:
            own = [mine for mine, _ in both]
            constant = len(set(own)) == 1
            found.append(0.0 if constant else statistics.correlation(own, [theirs for _, theirs in both]))
    expected = statistics.fmean(found) if found else None
    assert likeness(history, members) == (None if expected is None else pytest.approx(expected, abs=1e-9))


@pytest.mark.parametrize(("groups", "count"), [(4, 1), (9, 1), (10, 1), (19, 1), (96, 9)])
def test_places(groups: int, count: int) -> None:
    assert places(0.1, groups) == count


def test_the_best_of_a_step_trains_whatever_its_score_is() -> None:
    strict = filter_of(threshold=1.0)
    assert used(strict, left_by(strict, list(QUERIES))) == ["u1"]
    strict.voted["u0"] = strict.voted["u1"]
    assert used(strict, left_by(strict, ["u1", "u0"])) == ["u0"], "of equals the smaller id"


def test_nobody_trains_before_the_warm_up_is_over() -> None:
    early = filter_of(warmup=5)
    left = left_by(early, list(QUERIES))
    assert [entry.trust.score for entry in left] == [None] * 4
    assert used(early, left) == []
    assert early.judge(step_of(9), left[:1]) == [
        "too few of its pass rates are noted to compare them, or of labelled prompts"
    ]


def test_a_tie_is_no_vote() -> None:
    filter_ = filter_of()
    tie, silence = left_by(filter_, ["u1"], "1122"), [Candidate(answered("u4", None, None), View())]
    assert filter_.judge(step_of(9), tie) == ["two answers have equally many votes"]
    assert agreement(tie[0].candidate.read) == 0 == agreement(silence[0].read)
    assert agreement(answered("u1", "1", "1", "2", None)) == 0.5


def test_histories_grow_by_what_became_of_a_group() -> None:
    filter_ = TrapoFilter(TrapoRest())
    bought, vote = Supervision("bought", "1"), Supervision("vote", "1", cluster=0)
    scores = tuple(Score(outcome, outcome, Status.OK) for outcome in (1.0, 1.0, 1.0, 0.0))
    groups = [
        (Judged(answered("gold", *"1123"), Decision.USE, bought), scores, Fate.TRAINED),
        (Judged(answered("vote", *"1123"), Decision.USE, vote), scores, Fate.TRAINED),
        (Judged(answered("drop", *"1123"), Decision.DROP), (), Fate.DROPPED),
        (Judged(answered("lost", *"1123"), Decision.USE, bought), scores, Fate.FAILED),
    ]
    for _ in range(2):
        settled = [Settled(ScoredGroup(judged, found), fate) for judged, found, fate in groups]
        assert filter_.learn(step_of(1), settled, LESSON) == {"label/reference": 2}
    assert filter_.labelled == {"gold": [0.75, 0.75]}
    assert filter_.voted == {"vote": [0.5, 0.5], "drop": [0.5, 0.5]}
    assert filter_.trained == {"vote"}


def test_a_prompt_is_not_its_own_reference() -> None:
    """A vote that trained once would vouch for itself, and for nobody else's sake be thrown out when it returns."""
    filter_ = filter_of()
    filter_.trained |= {"u1", "u4"}
    [alone] = left_by(filter_, ["u1"])
    expected = likeness(QUERIES["u1"], [*REFERENCE.values(), QUERIES["u4"]])
    assert alone.trust.score == expected
    assert filter_.trained == {"u1", "u4"}


def test_a_prompt_that_got_a_label_refers_by_its_true_rates_alone() -> None:
    filter_ = filter_of()
    filter_.voted["d1"] = [0.75, 0.5, 0.5, 0.25]
    filter_.trained.add("d1")
    assert [entry.trust.score for entry in left_by(filter_, list(QUERIES))] == pytest.approx(SCORES, abs=1e-6)
