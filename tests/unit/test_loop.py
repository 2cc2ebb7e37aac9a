"""The loop with fakes, in milliseconds: what is called, in which order, and with what."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from reads import step_of, unread

from effrl import loop
from effrl.advantage.build import advantages
from effrl.batch import Batch, Stored
from effrl.config.advantage import GrpoAdvantage
from effrl.label.parked import NoParking
from effrl.label.stateless import Stateless
from effrl.loop import Services
from effrl.process.none import NoProcess
from effrl.types import (
    Decision,
    Fate,
    Group,
    Judged,
    Prompt,
    Publication,
    ReadGroup,
    Rollout,
    Score,
    ScoredGroup,
    Status,
    Step,
    Supervision,
    Update,
    View,
    Want,
)


class Fake(Stateless):
    """All services in one; ``outcomes`` gives the outcomes of each group in the order of being taken."""

    def __init__(self, outcomes: list[list[float]], prompts: int, refill: float) -> None:
        self.outcomes = outcomes
        self.prompts = prompts
        self.refill = refill
        self.version = 0
        self.calls: list[str] = []
        self.fates: list[dict[Fate, int]] = []
        self.journaled: list[str] = []

    async def remaining(self) -> AsyncIterator["Fake"]:
        yield self

    @property
    def labeller(self) -> "Fake":
        return self

    async def prepare(self) -> None:
        self.calls.append("prepare")

    async def steps(self) -> AsyncIterator[Step]:
        number = 0
        while self.outcomes:
            number += 1
            yield step_of(number)

    def batch(self, step: Step) -> Batch:
        return Batch(step.number, self.prompts, self.refill, advantages(GrpoAdvantage(std="none")))

    async def take(self, step: Step, count: int) -> Sequence[Group]:
        self.calls.append(f"take {count}")
        rollout = Rollout(np.array([3], np.int32), np.zeros(1, np.float32), "", "stop", self.version, self.version)
        ids = [f"{step.number}/{len(self.calls)}/{n}" for n in range(count)]
        return [Group(name, Prompt(name, "?"), np.array([4], np.int32), (rollout, rollout)) for name in ids]

    def rolled(self, step: Step, groups: Sequence[Group]) -> None:
        self.journaled += [group.id for group in groups]

    async def read(self, groups: Sequence[Group]) -> Sequence[ReadGroup]:
        assert {group.id for group in groups} <= set(self.journaled), "a group is journaled before anything else"
        return [unread(group) for group in groups]

    async def view(self, groups: Sequence[ReadGroup], wants: frozenset[Want]) -> Sequence[View]:
        assert not wants
        return [View() for _ in groups]

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> Sequence[Judged]:
        return [Judged(read, Decision.USE, Supervision("gold", "1")) for read in groups]

    async def outcome(self, judged: Sequence[Judged]) -> Sequence[ScoredGroup]:
        return [
            ScoredGroup(entry, tuple(Score(value, value, Status.OK) for value in self.outcomes.pop(0)))
            for entry in judged
        ]

    async def draw(self, step: Step, count: int) -> Sequence[Stored]:
        assert count == 0, "nothing is replayed here"
        return []

    async def step(self, step: Step, batch: Batch) -> Update:
        learned = bool(batch.sequences())
        self.version += learned
        self.calls.append(f"learn {len(batch.sequences())}")
        return Update(batch.step, self.version, learned)

    async def publish(self, update: Update) -> Publication | None:
        if not update.learned:
            return None
        self.calls.append(f"publish {update.version}")
        return Publication(update.version, (), 0, True)

    async def evaluate(self, step: int) -> Mapping[str, float]:
        return {}

    async def feedback(self, step: Step, batch: Batch, labeller: Any) -> Mapping[str, float]:
        return await labeller.learn(step, batch.settled)

    async def commit(
        self,
        step: Step,
        batch: Batch,
        update: Update,
        publication: Publication | None,
        learned: Mapping[str, float],
        evaluation: Mapping[str, float],
    ) -> None:
        assert (publication is not None) == update.learned
        self.calls.append("commit")
        self.fates.append(dict(batch.fates()))

    async def save(self, *_: Any) -> Any:
        self.calls.append("save")


def services(fake: Fake) -> Services:
    """The fake in every place that it can take."""
    names: dict[str, Any] = dict.fromkeys(field.name for field in fields(Services))
    found = {**dict.fromkeys(names, fake), "parked": NoParking(), "process": NoProcess()}
    return Services(**{**found, "feedback": fake.feedback, "evaluate": fake.evaluate})


async def run(fake: Fake) -> Fake:
    await loop.run(services(fake))
    assert fake.calls.pop(0) == "prepare" and fake.calls.pop() == "save"
    return fake


async def test_a_step_with_signal_learns_and_publishes() -> None:
    fake = await run(Fake([[1, 0], [0, 1]], prompts=2, refill=0))
    assert fake.calls == ["take 2", "learn 4", "publish 1", "commit"]


async def test_groups_without_signal_are_replaced_within_the_budget() -> None:
    fake = await run(Fake([[1, 0], [0, 0], [1, 1]], prompts=2, refill=0.5))
    assert fake.calls == ["take 2", "take 1", "learn 2", "publish 1", "commit"]
    assert fake.fates == [{Fate.TRAINED: 1, Fate.FILTERED: 2}]


async def test_a_step_without_signal_makes_no_version() -> None:
    fake = await run(Fake([[0, 0], [0, 0], [1, 0], [1, 0]], prompts=2, refill=0))
    assert fake.calls == ["take 2", "learn 0", "commit", "take 2", "learn 4", "publish 1", "commit"]


async def test_every_group_that_was_rolled_out_has_a_fate() -> None:
    fake = await run(Fake([[1, 0], [0, 0], [1, 1], [0, 0]] * 6, prompts=4, refill=0.0))
    assert len(fake.journaled) == sum(sum(fates.values()) for fates in fake.fates) == 24
