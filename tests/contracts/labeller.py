"""What every :class:`effrl.protocols.Labeller` must do, as a part of a checkpoint too (``part.py``).

To check your own, subclass and say how to make one::

from tests.contracts.labeller import LabellerContract

class TestMyLabeller(LabellerContract):
    def labeller(self, oracle):
        return MyLabeller(config, oracle)
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from reads import answered, ids_of, step_of

from effrl.batch import Settled
from effrl.protocols import Labeller, Part
from effrl.questions import BUDGET_SPENT, Answer, Asked, Label, Question, Refused, Reply, Standing
from effrl.types import (
    Decision,
    Fate,
    Group,
    Judged,
    ReadGroup,
    Score,
    ScoredGroup,
    Status,
    Step,
    View,
    Want,
)
from tests.contracts.part import PartContract

HIDDEN = 8


class Counter:
    """An :class:`effrl.protocols.Oracle` that sells ``true NAME`` and remembers who paid, as a ledger does.

    ``reply`` may be ``label``, ``asked`` or ``refused``: what becomes of a question that can be paid. What is not among
    ``sound`` has another label, where that is given.
    """

    def __init__(self, budget: int | None = None, reply: str = "label", sound: set[str] | None = None) -> None:
        self.budget, self.reply, self.sound = budget, reply, sound
        self.bought: dict[str, int] = {}
        """Step that paid, by prompt id."""

    async def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[Standing]:
        return [self._standing(step, name) for name in prompt_ids]

    async def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]:
        return [self._sell(step, name) for name in ids_of(questions)]

    async def answered(self, after: int, wait_s: float = 0.0) -> tuple[int, list[Answer]]:
        return after, []

    async def open(self) -> list[str]:
        return []

    async def withdraw(self, queries: Sequence[str]) -> None:
        return None

    def _sell(self, step: Step, name: str) -> Reply:
        if self.reply == "refused":
            return Refused("nobody knows it")
        if name not in self.bought and self.budget is not None and len(self.bought) >= self.budget:
            return Refused(BUDGET_SPENT)
        self.bought.setdefault(name, step.number)
        return Asked(f"{step.stage}/{self.bought[name]}/{name}") if self.reply == "asked" else Label(self._label(name))

    def _standing(self, step: Step, name: str) -> Standing:
        asked = self.bought.get(name, step.number)
        if asked >= step.number:
            return None
        return Label(self._label(name)) if self.reply == "label" else Asked(f"{step.stage}/{asked}/{name}")

    def _label(self, name: str) -> str:
        return f"true {name}" if self.sound is None or name in self.sound else "poisoned"


ANSWERS = (
    ("1", "1", "1", "2"),
    ("1", "2", "3", "1"),
    ("4", None, "5", "6"),
    (None, None, None, None),
    ("7", "7", "7", "7"),
    ("1", "2", "2", "1"),
)
"""Of the groups of a step, in turn: a majority, doubtful ones, no answer, unanimous, a tie."""


def groups_of(step: int, count: int = 12) -> list[ReadGroup]:
    """A step's groups; every prompt comes again two steps later, with other answers."""
    return [answered(f"p{step % 2}/{n:02}", *ANSWERS[(n + step) % len(ANSWERS)]) for n in range(count)]


def views_of(groups: Sequence[ReadGroup], wants: frozenset[Want]) -> list[View]:
    return [_view(read.group, wants) for read in groups]


def _view(group: Group, wants: frozenset[Want]) -> View:
    draw = np.random.default_rng([*group.prompt.id.encode()])
    hidden = draw.normal(size=(len(group.rollouts) + 1, HIDDEN)).astype(np.float32)
    return View(
        logprobs=tuple(np.full_like(r.logprobs, -0.5) for r in group.rollouts) if "logprobs" in wants else None,
        prompt=hidden[0] if "prompt" in wants else None,
        last=hidden[1:] if "last" in wants else None,
    )


def settled(judged: Sequence[Judged]) -> list[Settled]:
    """What became of the groups: those in use are trained on, and their first rollout was right."""
    fates = {Decision.USE: Fate.TRAINED, Decision.DROP: Fate.DROPPED, Decision.PARK: Fate.PARKED}
    return [Settled(ScoredGroup(entry, _scores(entry)), fates[entry.decision]) for entry in judged]


def _scores(judged: Judged) -> tuple[Score, ...]:
    if judged.decision is not Decision.USE:
        return ()
    return tuple(Score(float(n == 0), float(n == 0), Status.OK) for n in range(len(judged.group.rollouts)))


async def decide(labeller: Labeller, step: int, groups: Sequence[ReadGroup] | None = None) -> list[Judged]:
    groups = groups_of(step) if groups is None else groups
    return list(await labeller.assign(step_of(step), groups, views_of(groups, labeller.wants)))


def told(judged: Sequence[Judged]) -> list[tuple[Any, ...]]:
    """Decisions without their groups, to be compared."""
    return [(entry.group.prompt.id, entry.decision, entry.supervision, entry.reason) for entry in judged]


class LabellerContract(PartContract):
    """The contract; pytest does not collect this class itself, only what inherits from it."""

    order_matters = False
    """Whether the decision on a group may depend on its place among the others."""

    def labeller(self, oracle: Any) -> Labeller:
        """A fresh labeller that buys from ``oracle``."""
        raise NotImplementedError

    def make(self) -> Part:
        return self.labeller(Counter())

    async def use(self, part: Part) -> None:
        await self.run(cast(Labeller, part), (1, 2))

    async def run(self, labeller: Labeller, steps: Sequence[int]) -> list[list[tuple[Any, ...]]]:
        """Decisions of some steps, from each of which it learns."""
        decisions = []
        for step in steps:
            judged = await decide(labeller, step)
            await labeller.learn(step_of(step), settled(judged))
            decisions.append(told(judged))
        return decisions

    async def test_one_decision_per_group_in_order(self) -> None:
        labeller = self.labeller(Counter())
        for step in (1, 2, 3):
            groups = groups_of(step)
            assert [entry.read for entry in await decide(labeller, step, groups)] == groups

    async def test_no_groups_no_decisions(self) -> None:
        assert await decide(self.labeller(Counter()), 1, []) == []

    async def test_a_true_label_is_what_the_oracle_sold(self) -> None:
        oracle = Counter()
        labeller = self.labeller(oracle)
        for step in (1, 2, 3):
            for entry in await decide(labeller, step):
                if entry.supervision is not None and entry.supervision.is_true:
                    assert entry.supervision.answer == f"true {entry.group.prompt.id}"
                    assert oracle.bought[entry.group.prompt.id] <= step

    async def test_a_vote_is_an_answer_of_the_group_with_its_cluster(self) -> None:
        labeller = self.labeller(Counter(budget=3))
        for step in (1, 2, 3):
            for entry in await decide(labeller, step):
                if entry.supervision is not None and entry.supervision.source == "vote":
                    cluster, answer = entry.supervision.cluster, entry.supervision.answer
                    assert cluster is not None and (answer, cluster) in zip(
                        entry.read.answers, entry.read.clusters, strict=True
                    )

    async def test_a_group_that_is_not_used_says_why(self) -> None:
        labeller = self.labeller(Counter(budget=3))
        for step in (1, 2):
            assert all(entry.reason for entry in await decide(labeller, step) if entry.supervision is None)

    async def test_same_groups_same_decisions(self) -> None:
        one, other = [await self.run(self.labeller(Counter(budget=5)), (1, 2, 3, 4)) for _ in range(2)]
        assert one == other

    async def test_the_order_of_groups_changes_no_decision(self) -> None:
        if self.order_matters:
            return
        for step in (1, 2):
            forth, back = groups_of(step), groups_of(step)[::-1]
            judged = await decide(self.labeller(Counter()), step, forth)
            assert told(await decide(self.labeller(Counter()), step, back)) == told(judged)[::-1]

    async def test_labels_that_are_not_bought_are_not_seen(self) -> None:
        """Property 10 of CARE; the probes are compared in ``tests/unit/actors/test_labels_resumed.py``."""
        oracle = Counter(budget=5)
        decisions = await self.run(self.labeller(oracle), (1, 2, 3, 4))
        poisoned = Counter(budget=5, sound=set(oracle.bought))
        assert await self.run(self.labeller(poisoned), (1, 2, 3, 4)) == decisions
        assert poisoned.bought == oracle.bought

    async def test_a_step_that_is_repeated_decides_as_it_did(self, tmp_path: Path) -> None:
        """A resume takes the labeller back to the checkpoint of step 2, and the oracle back to nothing."""
        oracle = Counter(budget=7)
        labeller = self.labeller(oracle)
        await self.run(labeller, (1, 2))
        saved = await labeller.save(tmp_path)
        first, bought = await self.run(labeller, (3, 4, 5)), dict(oracle.bought)
        resumed = self.labeller(oracle)
        await resumed.load(tmp_path, json.loads(json.dumps(saved.state)))
        assert await self.run(resumed, (3, 4, 5)) == first
        assert oracle.bought == bought, "nothing is paid twice, and nothing else is bought"

    async def test_it_goes_on_from_what_it_saved(self, tmp_path: Path) -> None:
        one, other = Counter(), Counter()
        labeller, resumed = self.labeller(one), self.labeller(other)
        await self.run(labeller, (1, 2, 3))
        saved = await labeller.save(tmp_path)
        expected = await self.run(labeller, (4, 5))
        other.bought = {name: step for name, step in one.bought.items() if step <= 3}
        await resumed.load(tmp_path, json.loads(json.dumps(saved.state)))
        assert await self.run(resumed, (4, 5)) == expected

    async def test_a_label_that_comes_later_parks_its_group(self) -> None:
        oracle = Counter(reply="asked")
        judged = await decide(self.labeller(oracle), 1)
        assert {entry.group.prompt.id for entry in judged if entry.decision is Decision.PARK} <= oracle.bought.keys()
        assert all(entry.supervision is None or not entry.supervision.is_true for entry in judged)

    async def test_a_refused_label_is_no_error(self) -> None:
        for oracle in (Counter(reply="refused"), Counter(budget=0)):
            labeller = self.labeller(oracle)
            for step in (1, 2):
                judged = await decide(labeller, step)
                assert all(entry.decision is not Decision.PARK for entry in judged)
                assert all(entry.supervision is None or not entry.supervision.is_true for entry in judged)
                await labeller.learn(step_of(step), settled(judged))

    async def test_what_it_learns_it_says_in_numbers(self) -> None:
        labeller = self.labeller(Counter(budget=4))
        measured = [await labeller.learn(step_of(step), settled(await decide(labeller, step))) for step in (1, 2)]
        assert all(np.isfinite(value) for metrics in measured for value in metrics.values())
        assert all(name.startswith("label/") for metrics in measured for name in metrics)

    async def test_a_step_without_groups_teaches_nothing_and_is_no_error(self) -> None:
        await self.labeller(Counter()).learn(step_of(1), [])
