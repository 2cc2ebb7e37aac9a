"""What a step tells of itself without any label."""

from dataclasses import replace
from math import log

import numpy as np
import pytest
from reads import answered

from effrl.batch import Settled
from effrl.label.agreement import agreement
from effrl.types import Decision, Fate, Judged, ReadGroup, ScoredGroup, Supervision

BOUGHT, VOTE = Supervision("bought", "1"), Supervision("vote", "1", cluster=0)


def settled(read: ReadGroup, supervision: Supervision | None, fate: Fate, tokens: int = 1) -> Settled:
    sampled = {"token_ids": np.ones(tokens, np.int32), "logprobs": np.zeros(tokens, np.float32)}
    rollouts = tuple(replace(rollout, **sampled) for rollout in read.group.rollouts)
    read = replace(read, group=replace(read.group, rollouts=rollouts))
    decision = Decision.DROP if supervision is None else Decision.USE
    return Settled(ScoredGroup(Judged(read, decision, supervision), ()), fate)


def test_shares_and_entropy_by_hand() -> None:
    step = [
        settled(answered("a", "1", "1", "1", "2"), BOUGHT, Fate.TRAINED, tokens=3),
        settled(answered("b", "1", "2", None, None), VOTE, Fate.FILTERED, tokens=2),
        settled(answered("c", None, None, None, None), None, Fate.DROPPED),
    ]
    assert agreement(step) == pytest.approx(
        {
            "label/majority_share": (3 / 4 + 1 / 4) / 2,
            "label/answer_entropy": (-(3 / 4 * log(3 / 4) + 1 / 4 * log(1 / 4)) + log(2)) / 2,
            "label/token_share/label": 12 / 24,
            "label/token_share/vote": 8 / 24,
            "label/token_share/drop": 4 / 24,
        }
    )


def test_what_waits_for_its_label_is_not_of_the_step_yet() -> None:
    read = answered("a", "1", "2")
    parked = Settled(ScoredGroup(Judged(read, Decision.PARK, query="q"), ()), Fate.PARKED)
    assert agreement([parked]) == {}


def test_a_reward_that_tells_no_answers_leaves_tokens_alone() -> None:
    found = agreement([settled(answered("a", None, None), BOUGHT, Fate.TRAINED)])
    assert found == {"label/token_share/label": 1.0, "label/token_share/vote": 0.0, "label/token_share/drop": 0.0}
