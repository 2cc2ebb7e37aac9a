"""The soft penalty for length, and what it must leave alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reads import unread

from effrl.batch import fate_of
from effrl.kinds import Overlong
from effrl.reward.overlong import shaped, soft_overlong
from effrl.types import Decision, Fate, Group, Judged, Prompt, Rollout, Score, ScoredGroup, Status, Supervision

LIMIT = 100


def scored(lengths: list[int], scores: list[Score]) -> ScoredGroup:
    rollouts = tuple(
        Rollout(np.zeros(length, np.int32), np.zeros(length, np.float32), "", "stop", 0, 0) for length in lengths
    )
    group = Group("g", Prompt("p", "1+1="), np.array([7], np.int32), rollouts)
    return ScoredGroup(Judged(unread(group), Decision.USE, Supervision("gold", "2")), tuple(scores))


def ok(outcome: float) -> Score:
    return Score(outcome, outcome, Status.OK)


@pytest.mark.parametrize(("tokens", "penalty"), [(1, 0), (80, 0), (81, -0.05), (90, -0.5), (99, -0.95), (100, -1)])
def test_by_hand(tokens: int, penalty: float) -> None:
    assert soft_overlong(tokens, LIMIT, 20) == pytest.approx(penalty)


def test_beyond_the_limit_it_is_no_worse() -> None:
    """The third case of the equation; here no completion is that long."""
    assert soft_overlong(LIMIT + 1, LIMIT, 20) == -1


@given(st.integers(1, 200), st.integers(1, 200), st.data())
def test_it_falls_in_even_steps_within_the_buffer(limit: int, buffer: int, data: st.DataObject) -> None:
    buffer = min(buffer, limit)
    tokens = data.draw(st.integers(1, limit))
    inside = max(0, tokens - (limit - buffer))
    assert soft_overlong(tokens, limit, buffer) == pytest.approx(-inside / buffer)


def test_rewards_are_penalised_and_nothing_else() -> None:
    failed = Score(None, None, Status.TIMEOUT)
    before = scored([10, 90, 100, 95], [ok(1.0), ok(1.0), ok(0.0), failed])
    after = shaped(before, Overlong(buffer=20, penalty=0.5), LIMIT)
    assert [score.reward for score in after.scores] == [1.0, 0.75, -0.5, None]
    assert [replace(score, reward=None) for score in after.scores] == [
        replace(score, reward=None) for score in before.scores
    ]
    assert after.judged is before.judged


def test_length_makes_no_signal_where_there_is_none() -> None:
    """The filter reads outcomes: a group of right answers is not trained on for being short."""
    after = shaped(scored([10, 100], [ok(1.0), ok(1.0)]), Overlong(buffer=20), LIMIT)
    assert after.scores[0].reward != after.scores[1].reward
    assert fate_of(after) is Fate.FILTERED


def test_without_a_penalty_and_without_scores_nothing_happens() -> None:
    group = scored([100], [ok(1.0)])
    dropped = ScoredGroup(Judged(unread(group.group), Decision.DROP), ())
    assert shaped(group, None, LIMIT) is group
    assert shaped(dropped, Overlong(buffer=20), LIMIT) is dropped
