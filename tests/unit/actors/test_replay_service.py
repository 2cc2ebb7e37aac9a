"""Replay on the side of the actors: the store in the data actor, its checkpoint, and labels that were bought since."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_actor import Method
from reads import Blind, answered, step_of
from test_batch import GRPO, scored
from written import parts

import effrl
from actors import role
from actors.data.actor import DataActor
from actors.data.service import ReplayService
from actors.driver.feedback import FeedbackService
from effrl.batch import Batch, Stored
from effrl.config.schema import Config
from effrl.label.stateless import Stateless
from effrl.questions import Label, Standing
from effrl.replay.rescore import rescored
from effrl.reward.reading import membership
from effrl.run.checkpoint import Checkpoint, Checkpoints
from effrl.run.metrics import Stopwatch
from effrl.types import Decision, Fate, Judged, Score, ScoredGroup, Status, Step, Supervision

SECTIONS: dict[str, Any] = {"data": {"train": "tasks:chain?size=16"}, "rollout": {"prompts": 4}}
REPLAY = {"fresh": 0.5, "capacity": 6, "warmup": 1}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DataActor]:
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output

    def start(**sections: Any) -> DataActor:
        config = Config.model_validate({**SECTIONS, **sections})
        return DataActor("data", tmp_path, effrl.__version__, config, [])

    return start


class Handle:
    """An actor's handle whose calls are answered at once."""

    def __init__(self, actor: DataActor) -> None:
        self.replay, self.observe = Method(actor.replay), Method(actor.observe)


class Shop:
    """Owns the labels of some prompts, and scores as it is told; it sells nothing."""

    def __init__(self, labels: dict[str, str], outcomes: Sequence[float] = (1.0, 0.0)) -> None:
        self.labels, self.outcomes, self.asked = labels, outcomes, 0
        self.judged: list[Judged] = []

    async def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[Standing]:
        self.asked += 1
        return [Label(self.labels[name]) if name in self.labels else None for name in prompt_ids]

    async def outcome(self, judged: Sequence[Judged]) -> list[ScoredGroup]:
        self.judged += judged
        return [ScoredGroup(entry, tuple(Score(v, v, Status.OK) for v in self.outcomes)) for entry in judged]


def batch(step: int, *names: str, outcomes: Sequence[float | None] = (1, 0)) -> Batch:
    made = Batch(step, len(names), 0.0, GRPO)
    made.add([scored(list(outcomes), name=name) for name in names])
    return made


async def feed(actor: DataActor, made: Batch) -> Mapping[str, float]:
    return await tell(Handle(actor), made, keeps_groups=True)


async def tell(handle: Handle, made: Batch, keeps_groups: bool) -> Mapping[str, float]:
    feedback = FeedbackService(handle, Blind(), keeps_groups, Stopwatch(), 5.0)
    return await feedback(step_of(made.step), made, Stateless())  # type: ignore[arg-type]  # it assigns nothing


# --- the data actor


async def test_a_step_replays_what_earlier_steps_gave(data: Callable[..., DataActor]) -> None:
    actor, shop = data(replay=REPLAY), Shop({})
    service = ReplayService(Handle(actor), shop, shop, 5.0)  # type: ignore[arg-type]
    assert await service.draw(step_of(1), 0) == [] == await service.draw(step_of(1), 2)
    assert await feed(actor, batch(1, *"abc")) == {"replay/stored": 3}
    drawn = await service.draw(step_of(2), 2)
    assert len(drawn) == 2 and {stored.step for stored in drawn} == {1} and shop.asked == 0
    assert await feed(actor, batch(2, *"ab", outcomes=(1, 1))) == {"replay/stored": 1}, "newer ones without signal"
    assert [stored.prompt_id for stored in await service.draw(step_of(3), 2)] == ["c"]


async def test_groups_travel_only_where_they_are_replayed(data: Callable[..., DataActor]) -> None:
    given: list[Sequence[Any]] = []
    actor = data()
    handle = Handle(actor)
    handle.observe = Method(lambda *arguments: given.append(arguments) or actor.observe(*arguments))
    assert await tell(handle, batch(1, "a"), keeps_groups=False) == {}
    assert [len(arguments[3]) for arguments in given] == [0]
    assert actor.replay(2, 4) == []


async def test_the_store_keeps_no_array_of_a_message(data: Callable[..., DataActor]) -> None:
    """In Ray, an array that is kept holds the shared memory of everything that came with it."""
    actor, made = data(replay=REPLAY), batch(1, "a")
    await feed(actor, made)
    [kept] = actor.replay(2, 1)
    ours, theirs = kept.scored.group.rollouts[0], made.settled[0].scored.group.rollouts[0]
    assert ours.text == theirs.text and not np.shares_memory(ours.logprobs, theirs.logprobs)


async def test_a_checkpoint_has_the_store(data: Callable[..., DataActor], tmp_path: Path) -> None:
    actor, checkpoints = data(replay=REPLAY), Checkpoints(tmp_path / "checkpoints", keep=2)
    for step, letters in enumerate(("abcd", "ef", "gh"), 1):
        actor.replay(step, 2)
        await feed(actor, batch(step, *letters))
    draft = checkpoints.begin(3)
    checkpoints.seal(draft, Checkpoint(3, {**parts(draft, 3), "data": actor.save(draft)}))
    found = checkpoints.latest()
    assert found is not None and "data/replay/groups.npz" in found[1].files
    resumed = data(replay=REPLAY)
    resumed.load(found[0])
    for step, letters in ((4, "ij"), (5, "kl")):
        one, other = actor.replay(step, 2), resumed.replay(step, 2)
        assert [(s.prompt_id, s.step, s.uses) for s in one] == [(s.prompt_id, s.step, s.uses) for s in other]
        for both in (actor, resumed):
            await feed(both, batch(step, *letters))


async def test_replay_may_begin_and_end_with_a_resume(data: Callable[..., DataActor], tmp_path: Path) -> None:
    assert data().save(tmp_path / "plain").files.keys() == {"data/state.json.gz"}
    begun = data(replay=REPLAY)
    begun.load(tmp_path / "plain")
    assert begun.replay(2, 2) == []
    await feed(begun, batch(2, "a"))
    begun.save(tmp_path / "replaying")
    data().load(tmp_path / "replaying")


# --- labels that were bought since


def voted(name: str, *answers: str) -> Stored:
    """A group of an earlier step that its majority supervised."""
    judged = Judged(answered(name, *answers), Decision.USE, Supervision("vote", answers[0], cluster=0))
    return Stored(ScoredGroup(judged, membership(judged)), 1)


async def test_a_vote_is_replaced_by_a_label_that_is_owned_by_now() -> None:
    known, unknown = voted("known", "7", "7", "8"), voted("unknown", "7", "7", "8")
    gold = replace(voted("gold", "7", "8"), scored=scored([1, 0], name="gold"))
    shop = Shop({"known": "8", "gold": "9"}, outcomes=(0.0, 0.0, 1.0))
    found = await rescored(step_of(2), [unknown, known, gold], shop, shop)  # type: ignore[arg-type]
    assert found[0].scored is unknown.scored
    assert found[2].scored is gold.scored
    assert found[1].scored.judged.supervision == Supervision("bought", "8")
    assert [score.outcome for score in found[1].scored.scores] == [0, 0, 1]
    assert [entry.group.prompt.id for entry in shop.judged] == ["known"], "nothing else is scored again"
    assert (found[1].step, found[1].uses) == (known.step, known.uses)


async def test_a_group_whose_label_makes_all_its_rollouts_wrong_is_not_learned_from() -> None:
    shop = Shop({"a": "9"}, outcomes=(0.0, 0.0))
    made = batch(2, "b")
    made.replay(await rescored(step_of(2), [voted("a", "7", "8")], shop, shop))  # type: ignore[arg-type]
    assert made.replayed == [] and made.fates() == {Fate.TRAINED: 1}


async def test_nobody_is_asked_where_every_label_is_true() -> None:
    shop = Shop({})
    stored = [Stored(scored([1, 0], name=name), 1) for name in "ab"]
    found = await rescored(step_of(2), stored, shop, shop)  # type: ignore[arg-type]
    assert all(one is other for one, other in zip(found, stored, strict=True)) and shop.asked == 0
