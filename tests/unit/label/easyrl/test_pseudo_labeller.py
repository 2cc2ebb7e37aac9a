"""Who supervises a group in a stage whose pool the model labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from reads import answered, step_of

from effrl.batch import Settled
from effrl.label.easyrl.items import PseudoLabel
from effrl.label.easyrl.labeller import PseudoLabeller, Waiting
from effrl.label.stateless import Stateless
from effrl.types import Decision, Judged, ReadGroup, Step, Supervision, View, Want
from tests.contracts.labeller import Counter, settled

LABELS = {"sure": PseudoLabel("7", "consistent", 1.0), "torn": PseudoLabel("8", "reflected", 0.25, 0.1)}
GROUPS = [answered(name, "7", "8", None, "9") for name in ("torn", "easy", "other", "sure")]
VIEWS = [View(prompt=np.full(2, n, np.float32)) for n in range(4)]


@dataclass
class Remembering(Stateless):
    """Votes, and remembers what it was shown and told."""

    wants: frozenset[Want] = frozenset({"prompt"})
    shown: list[tuple[str, float]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> list[Judged]:
        for read, view in zip(groups, views, strict=True):
            assert view.prompt is not None
            self.shown.append((read.group.prompt.id, float(view.prompt[0])))
        return [Judged(read, Decision.USE, Supervision("vote", "7", 0)) for read in groups]

    async def learn(self, step: Step, settled: Sequence[Settled]) -> dict[str, float]:
        self.told += [entry.scored.group.prompt.id for entry in settled]
        return {"label/told": len(settled)}


def labeller(oracle: Any, others: Any = None) -> PseudoLabeller:
    return PseudoLabeller(oracle, {"easy"}, LABELS, others or Waiting())


async def test_each_group_goes_to_who_is_in_charge_of_its_prompt() -> None:
    oracle, others = Counter(), Remembering()
    judged = await labeller(oracle, others).assign(step_of(1), GROUPS, VIEWS)
    assert [entry.read for entry in judged] == GROUPS
    assert [entry.supervision for entry in judged] == [
        Supervision("reflected", "8", confidence=0.25),
        Supervision("gold", "true easy"),
        Supervision("vote", "7", 0),
        Supervision("consistent", "7", confidence=1.0),
    ]
    assert others.shown == [("other", 2.0)], "with its own view"


async def test_pseudo_labels_are_neither_bought_nor_charged_nor_owned() -> None:
    oracle = Counter(budget=1)
    ours = labeller(oracle)
    for number in (1, 2, 3):
        await ours.assign(step_of(number), GROUPS, VIEWS)
    assert oracle.bought == {"easy": 1}
    assert await oracle.owned(step_of(9), ["sure", "torn"]) == [None, None]


async def test_a_pseudo_label_is_graded_and_counts_as_none_that_is_true() -> None:
    (judged,) = await labeller(Counter()).assign(step_of(1), GROUPS[:1], VIEWS[:1])
    assert judged.supervision is not None
    assert judged.supervision.cluster is None and not judged.supervision.is_true


async def test_a_true_label_that_came_since_is_better() -> None:
    oracle = Counter()
    oracle.bought["sure"] = 1
    judged = await labeller(oracle).assign(step_of(2), GROUPS, VIEWS)
    assert judged[3].supervision == Supervision("gold", "true sure")
    assert judged[0].supervision == Supervision("reflected", "8", confidence=0.25)


async def test_until_a_label_that_was_asked_for_comes_the_pseudo_label_serves() -> None:
    oracle = Counter(reply="asked")
    oracle.bought["sure"] = 1
    judged = await labeller(oracle).assign(step_of(2), GROUPS, VIEWS)
    assert judged[3].supervision == Supervision("consistent", "7", confidence=1.0)
    assert judged[1].decision is Decision.PARK


async def test_what_waits_is_dropped_and_says_why() -> None:
    judged = await labeller(Counter()).assign(step_of(1), GROUPS, VIEWS)
    assert (judged[2].decision, judged[2].reason) == (Decision.DROP, "it waits for the next round")


async def test_the_inner_labeller_learns_from_its_own_prompts_alone() -> None:
    others = Remembering()
    ours = labeller(Counter(), others)
    assert ours.wants == {"prompt"}
    judged = await ours.assign(step_of(1), GROUPS, VIEWS)
    assert await ours.learn(step_of(1), settled(judged)) == {"label/told": 1}
    assert others.told == ["other"]


async def test_two_groups_of_a_prompt_keep_their_own_decisions() -> None:
    twice = [GROUPS[0], replace(GROUPS[0], group=replace(GROUPS[0].group, id="again"))]
    judged = await labeller(Counter()).assign(step_of(1), twice, VIEWS[:2])
    assert [entry.read for entry in judged] == twice
