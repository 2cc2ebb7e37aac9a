"""What the labeller's look at a step has scored is not scored again for the updates after the first."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from reads import step_of, unread

from actors.learner.old import OldLogprobs
from actors.learner.service import LearnerService
from actors.ranks.group import RankGroup
from effrl.advantage.build import advantages
from effrl.batch import Batch, Settled, Stored
from effrl.config.schema import Config
from effrl.learn.packing import MicroBatch, cut
from effrl.run.metrics import Stopwatch
from effrl.sequences import TrainingSequence
from effrl.types import (
    Continuation,
    Decision,
    Fate,
    Float32,
    Group,
    Judged,
    Prompt,
    ReadGroup,
    Rollout,
    Score,
    ScoredGroup,
    Status,
    Supervision,
)


class Ranks(RankGroup):
    """Two ranks whose log-prob of a token is its number of hundredths, below zero; they remember what they learn."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(("one", "two")), wait_s=5.0)
        self.learned: list[list[list[MicroBatch]]] = []
        """Of each step: of each update its micro-batches, of all ranks."""

    async def each(self, method: str, shares: Any, temperature: float, states: bool) -> Any:
        return [[[(scored(row, mask), None) for row, mask in _rows(part)] for part in share] for share in shares]

    async def scatter(self, method: str, shares: Any, *rest: Any) -> dict[str, float]:
        self.learned.append([[part for share in update for part in share] for update in zip(*shares, strict=True)])
        return {}

    async def all(self, method: str) -> list[dict[int, Float32]]:
        return [dict.fromkeys(range(99), np.zeros(1, np.float32))]


def _rows(part: MicroBatch) -> list[tuple[Any, Any]]:
    return list(zip(part.ids, part.mask, strict=True))


def scored(ids: Any, mask: Any) -> Float32:
    found: Float32 = -ids[mask > 0].astype(np.float32) / 100
    return found


def read(number: int) -> ReadGroup:
    """Two rollouts of as many tokens as the number says."""
    rollouts = tuple(
        Rollout(np.full(number, 10 * number + place, np.int32), np.zeros(number, np.float32), "", "stop", 0, 0)
        for place in (1, 2)
    )
    return unread(Group(str(number), Prompt(str(number), "?"), np.array([4], np.int32), rollouts))


def settled(group: ReadGroup, fate: Fate = Fate.TRAINED) -> Settled:
    scores = (Score(1.0, 1.0, Status.OK), Score(0.0, 0.0, Status.OK))
    return Settled(ScoredGroup(Judged(group, Decision.USE, Supervision("gold", "1")), scores), fate)


def service(**sections: Any) -> tuple[LearnerService, Ranks]:
    settings = {"data": {"train": "tasks:chain"}, "rollout": {"max_tokens": 10}, "learn": {"updates": 2}, **sections}
    ranks = Ranks()
    return LearnerService(ranks, Config.model_validate(settings), 0, Stopwatch(), 512), ranks  # type: ignore[arg-type]


def batch(learner: LearnerService, groups: Sequence[ReadGroup], replayed: Sequence[ReadGroup] = ()) -> Batch:
    made = Batch(1, len(groups), 0.0, advantages(learner.config.advantage))
    made.settled = [settled(group) for group in groups]
    made.replayed = [Stored(settled(group).scored, 0) for group in replayed]
    return made


async def test_the_second_update_has_what_the_view_scored() -> None:
    learner, ranks = service()
    groups = [read(number) for number in (1, 2, 3, 4)]
    for part in (groups[:3], groups[3:]):  # a refill is viewed by itself
        await learner.view(part, frozenset({"logprobs"}))
    await learner.step(step_of(1), batch(learner, groups))
    [[first, second]] = ranks.learned
    assert all(part.old is None for part in first), "it has them in its own pass"
    for part in second:
        assert part.old is not None
        for old, (ids, mask) in zip(part.old, _rows(part), strict=True):
            assert old[mask > 0].tolist() == scored(ids, mask).tolist() and not old[mask == 0].any()
    assert sum(part.mask.any(1).sum() for part in second) == 4


async def test_of_a_step_with_something_unseen_nothing_is_reused() -> None:
    learner, ranks = service()
    groups = [read(number) for number in (1, 2, 3)]
    await learner.view(groups, frozenset({"logprobs"}))
    await learner.step(step_of(1), batch(learner, groups, replayed=[read(4)]))
    assert all(part.old is None for update in ranks.learned[0] for part in update)


async def test_what_a_view_has_seen_is_not_scored_again_for_another() -> None:
    """As an implicit PRM asks whose reference the policy is, of some of the groups that the labeller looked at."""
    learner, ranks = service()
    seen = await learner.view([read(number) for number in (1, 2, 3)], frozenset({"logprobs"}))
    ranks.each = None  # type: ignore[assignment, method-assign]  # nobody is asked any more
    [again] = await learner.view([read(2)], frozenset({"logprobs"}))
    assert [row.tolist() for row in again.logprobs or ()] == [row.tolist() for row in seen[1].logprobs or ()]
    with pytest.raises(TypeError):
        await learner.view([read(4)], frozenset({"logprobs"}))


async def test_another_version_has_seen_nothing() -> None:
    learner, ranks = service(rollout={"max_staleness": 1, "max_tokens": 10})
    groups = [read(number) for number in (1, 2)]
    await learner.view(groups, frozenset({"logprobs"}))
    await learner.step(step_of(1), batch(learner, groups))
    await learner.step(step_of(2), batch(learner, groups))
    known = [[part.old is not None for update in step for part in update] for step in ranks.learned]
    assert any(known[0]) and not any(known[1])


async def test_what_was_scored_at_temperature_1_for_somebody_else_is_not_reused() -> None:
    learner, _ = service(rollout={"temperature": 0.7, "max_tokens": 10})
    groups = [read(number) for number in (1, 2)]
    texts = [
        Continuation(np.concatenate([group.group.prompt_ids, rollout.token_ids]), 1)
        for group in groups
        for rollout in group.group.rollouts
    ]
    await learner.logprobs(texts)
    assert learner._old.known == {}


def test_the_length_of_the_prompt_tells_two_texts_apart() -> None:
    """Of equal ids: what is sampled in one is asked in the other."""
    ids, nothing = np.arange(5, dtype=np.int32), np.zeros(2, np.float32)
    old = OldLogprobs()
    old.note(3, [Continuation(ids, 3)], [np.full(2, -1, np.float32)])
    [[same]] = old.given(3, [[TrainingSequence(ids, 3, nothing, nothing)]])
    assert same.old is not None and same.old.tolist() == [-1, -1]
    longer = np.zeros(3, np.float32)
    [[other]] = old.given(3, [[TrainingSequence(ids, 2, longer, longer)]])
    assert other.old is None


@pytest.mark.parametrize("known", [True, False])
def test_a_rank_without_a_share_scores_if_the_others_do(known: bool) -> None:
    """Under ZeRO-3 a rank that scores while the others don't would wait for ever."""
    nothing = np.zeros(2, np.float32)
    shares = cut(
        [TrainingSequence(np.arange(5, dtype=np.int32), 3, nothing, nothing, old=nothing if known else None)], 2, 99
    )
    assert [[part.old is not None for part in share] for share in shares] == [[known], [known]]
