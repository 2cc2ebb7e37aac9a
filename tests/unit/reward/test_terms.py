"""The terms on top of the outcome, and what they must leave alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reads import unread

from effrl.advantage.grpo import grpo_advantages
from effrl.batch import Batch, fate_of
from effrl.config.reward import Format, Length, Mark, Overlong, RewardTerms
from effrl.reward.reading import LOST
from effrl.reward.terms import relative_length, shaped, soft_overlong
from effrl.types import Decision, Fate, Group, Judged, Prompt, Rollout, Score, ScoredGroup, Status, Supervision

LIMIT = 100
OVERLONG = RewardTerms(overlong=Overlong(buffer=20, penalty=0.5))


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
    after = shaped(before, OVERLONG, LIMIT, [])
    assert [score.reward for score in after.scores] == [1.0, 0.75, -0.5, None]
    assert [replace(score, reward=None, terms={}) for score in after.scores] == [
        replace(score, reward=None) for score in before.scores
    ]
    assert after.judged is before.judged


def test_length_makes_no_signal_where_there_is_none() -> None:
    """The filter reads outcomes: a group of right answers is not trained on for being short."""
    after = shaped(scored([10, 100], [ok(1.0), ok(1.0)]), OVERLONG, LIMIT, [])
    assert after.scores[0].reward != after.scores[1].reward
    assert fate_of(after) is Fate.FILTERED


def test_without_terms_and_without_scores_nothing_happens() -> None:
    group = scored([100], [ok(1.0)])
    dropped = ScoredGroup(Judged(unread(group.group), Decision.DROP), ())
    assert shaped(group, RewardTerms(), LIMIT, []) == group
    assert shaped(dropped, OVERLONG, LIMIT, [True]) == dropped


@pytest.mark.parametrize(
    ("tokens", "right", "value"),
    [(10, True, 0.5), (10, False, 0), (35, True, 0.25), (60, True, 0), (85, True, -0.25), (110, False, -0.5)],
)
def test_relative_length_by_hand(tokens: int, right: bool, value: float) -> None:
    assert relative_length(tokens, 10, 110, right) == pytest.approx(value)


def test_what_the_engine_failed_is_not_the_shortest() -> None:
    before = scored([50, 100], [ok(1.0), ok(1.0)])
    group = replace(before.group, rollouts=(*before.group.rollouts, Rollout.lost(0)))
    before = ScoredGroup(replace(before.judged, read=unread(group)), (*before.scores, LOST))
    after = shaped(before, RewardTerms(length=Length(weight=1)), LIMIT, [])
    assert [score.reward for score in after.scores] == [1.5, 0.5, None]


def test_equal_lengths_tell_nothing() -> None:
    assert relative_length(10, 10, 10, True) == 0


@given(st.lists(st.integers(1, LIMIT), min_size=2, max_size=8, unique=True))
def test_shorter_right_answers_never_earn_less(lengths: list[int]) -> None:
    after = shaped(scored(lengths, [ok(1.0)] * len(lengths)), RewardTerms(length=Length(weight=1)), LIMIT, [])
    rewards = [score.reward for _, score in sorted(zip(lengths, after.scores, strict=True), key=lambda pair: pair[0])]
    assert rewards == sorted(rewards, reverse=True, key=float)  # type: ignore[arg-type]
    assert (rewards[0], rewards[-1]) == (1.5, 0.5)


def test_terms_add_up_and_are_told_apart() -> None:
    terms = RewardTerms(
        overlong=Overlong(buffer=20), format=Format(pattern="x", weight=0.25), length=Length(weight=0.5)
    )
    failed = Score(None, None, Status.ERROR)
    after = shaped(scored([60, 90, 100], [ok(1.0), ok(0.0), failed]), terms, LIMIT, [True, False, True])
    first, second, third = after.scores
    assert first.terms == {"overlong": 0, "format": 0.25, "length": 0.25}
    assert second.terms == {"overlong": -0.5, "format": 0, "length": -0.125}
    assert (first.reward, second.reward) == (1.5, -0.625)
    assert third == failed


def test_the_mean_of_each_term_is_a_metric() -> None:
    """Of what was scored; a step without a score has none."""
    failed = Score(None, None, Status.ERROR)
    batch = Batch(1, 1, 0.0, lambda rewards: rewards)
    batch.add([shaped(scored([90, 100, 100], [ok(1.0), ok(0.0), failed]), OVERLONG, LIMIT, [])])
    assert batch.metrics()["reward/terms/overlong"] == pytest.approx(-0.375)
    assert batch.metrics()["reward/outcome_mean"] == 0.5
    nothing = Batch(1, 1, 0.0, lambda rewards: rewards)
    nothing.add([shaped(scored([90, 100], [failed, failed]), OVERLONG, LIMIT, [])])
    assert "reward/terms/overlong" not in nothing.metrics()


# --- EasyRL's mark


def marked(texts: list[str], outcomes: list[float]) -> ScoredGroup:
    """A group after its terms: what lacks "boxed" is worth -0.5."""
    group = scored([5] * len(texts), [ok(outcome) for outcome in outcomes])
    rollouts = tuple(replace(each, text=text) for each, text in zip(group.group.rollouts, texts, strict=True))
    read = unread(replace(group.group, rollouts=rollouts))
    group = replace(group, judged=replace(group.judged, read=read))
    return shaped(group, RewardTerms(mark=Mark()), LIMIT, [])


def test_easyrl_s_reward_and_the_advantages_that_come_of_it() -> None:
    """Property 1: right and boxed 1, wrong and boxed 0, without a box -0.5 whatever the answer is."""
    texts = ["boxed"] * 2 + ["none"] * 2 + ["boxed"] * 4
    group = marked(texts, [1, 1, 1, 0, 0, 0, 0, 0])
    assert [score.reward for score in group.scores] == [1, 1, -0.5, -0.5, 0, 0, 0, 0]
    assert [score.outcome for score in group.scores] == [1, 1, 1, 0, 0, 0, 0, 0], "what is right stays right"
    rewards = np.array([score.reward for score in group.scores], np.float32)
    advantages = grpo_advantages(rewards, std="sample")
    assert advantages[[0, 2, 4]] == pytest.approx([1.50219, -1.07299, -0.21460], abs=2e-5)


def test_a_wrong_group_of_which_some_lack_the_mark_is_learned_from() -> None:
    """As the paper does; without a mark, or with it everywhere, there is no signal."""
    assert fate_of(marked(["boxed", "none"], [0, 0])) is Fate.TRAINED
    assert fate_of(marked(["boxed", "none"], [1, 1])) is Fate.TRAINED
    assert fate_of(marked(["boxed", "boxed"], [0, 0])) is Fate.FILTERED
    assert fate_of(marked(["none", "none"], [0, 0])) is Fate.FILTERED
