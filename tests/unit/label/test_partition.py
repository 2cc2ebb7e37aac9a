"""CARE's partition of a step: who is bought, who trains on its vote, and who is dropped, and what each one counts."""

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import asdict
from math import sqrt
from typing import Any

import numpy as np
import pytest
from reads import Blind, answered, step_of

from effrl.advantage.build import advantages
from effrl.batch import Batch
from effrl.config.buy import ProbeConfig
from effrl.config.loss import ClippedLoss
from effrl.config.rest import GateRest
from effrl.config.schema import Config
from effrl.label import build
from effrl.label.active import ActiveLabeller
from effrl.label.halves import Candidate, Left, Rank, Trust
from effrl.label.rest.gate import GateFilter
from effrl.learn.packing import size_of
from effrl.protocols import Labeller
from effrl.sequences import Portion
from effrl.types import Judged, ReadGroup, Score, ScoredGroup, Status, Supervision, View
from tests.contracts.labeller import Counter, decide, told, views_of

ROLLOUTS = 8
ANSWERS = ("aaaabbbc", "aabbccdd", "aaaaaaab", "aaaaaaaa", "abcdefgh", "aaabbbcc", "        ", "aaaaab  ")
"""Of the groups of a step, in turn; a blank is no answer. The fourth is unanimous, the seventh has no vote."""


def groups_of(count: int) -> list[ReadGroup]:
    return [
        answered(f"p{place:02}", *[None if answer == " " else answer for answer in ANSWERS[place % len(ANSWERS)]])
        for place in range(count)
    ]


def config(**label: Any) -> Config:
    sections = {"rollout": {"refill": 0, "per_prompt": ROLLOUTS, "max_tokens": 4}, "loss": {"over": "sampled"}}
    return Config.model_validate({"data": {"train": "tasks:chain"}, "label": label, **sections})


def made(**label: Any) -> Labeller:
    """A labeller with an oracle of its own, that has every label."""
    return build.labeller(config(**label), Counter(), Blind())


def care(share: float, gate: float, **rest: Any) -> Labeller:
    return made(kind="care", budget={"per_step": share}, rest={"kind": "gate", "share": gate, **rest})


def parts(judged: Sequence[Judged]) -> dict[str, int]:
    """How many groups are bought, voted on and dropped."""
    return dict(Tally(entry.supervision.source if entry.supervision else "drop" for entry in judged))


def scored(judged: Judged) -> ScoredGroup:
    """Against a vote by cluster; against a label, those who answered b are right."""
    supervision = judged.supervision
    if supervision is None:
        return ScoredGroup(judged, ())
    right = [
        cluster == supervision.cluster if supervision.cluster is not None else answer == "b"
        for cluster, answer in zip(judged.read.clusters, judged.read.answers, strict=True)
    ]
    return ScoredGroup(judged, tuple(Score(float(mark), float(mark), Status.OK) for mark in right))


def learned(judged: Sequence[Judged]) -> Batch:
    settings = config()
    batch = Batch(1, len(judged), 0.0, advantages(settings.advantage))
    batch.add([scored(entry) for entry in judged])
    return batch


def portion(judged: Sequence[Judged]) -> Portion:
    """What the learner is given of a step, in one update."""
    [whole] = learned(judged).updates(1)
    return whole


def gradient(judged: Sequence[Judged]) -> tuple[list[dict[str, Any]], int]:
    """All that the gradient is made of: each sequence that is learned from, and the denominator."""
    sequences = [
        {name: np.asarray(value).tolist() for name, value in asdict(s).items()} for s in portion(judged).learned
    ]
    return sequences, size_of(portion(judged), ClippedLoss(over="sampled"), max_tokens=4).denominator


async def test_a_step_of_the_papers_size() -> None:
    """Property 7: 13 of 64 are bought, and 16 trusted once the gate opens; each group is in one part."""
    groups = [read for read in groups_of(74) if read.voted][:64]  # who has no vote may have a place, and is dropped
    assert parts(await decide(care(0.2, 0.25), 20, groups)) == {"bought": 13, "drop": 51}
    judged = await decide(care(0.2, 0.25), 21, groups)
    assert parts(judged) == {"bought": 13, "vote": 16, "drop": 35}
    assert [entry.read for entry in judged] == groups


@pytest.mark.parametrize(("share", "groups", "bought"), [(0.2, 64, 13), (0.07, 100, 7), (0.01, 3, 1), (1.0, 5, 5)])
async def test_shares_are_rounded_up(share: float, groups: int, bought: int) -> None:
    """Property 7: 0.07 of 100 is 7, although it is 7.000000000000001."""
    assert parts(await decide(care(share, 0.25), 1, groups_of(groups)))["bought"] == bought


async def test_all_bought_is_gold() -> None:
    """Property 8: the same sequences with the same advantages, bit for bit, and the same denominator."""
    groups = groups_of(16)
    bought, gold = await decide(care(1.0, 0.25), 21, groups), await decide(made(kind="gold"), 21, groups)
    assert [(d, s and s.answer) for _, d, s, _ in told(bought)] == [(d, s and s.answer) for _, d, s, _ in told(gold)]
    assert gradient(bought) == gradient(gold)
    assert gradient(bought)[0], "otherwise both would be empty"


async def test_all_trusted_is_votes() -> None:
    """Property 8: nothing is bought and the gate lets all pass."""
    groups = groups_of(16)
    trusted, votes = await decide(care(0.0, 1.0), 21, groups), await decide(made(kind="vote"), 21, groups)
    assert gradient(trusted) == gradient(votes)
    answers = [entry.supervision and (entry.supervision.source, entry.supervision.answer) for entry in votes]
    assert [s and (s.source, s.answer) for s in (entry.supervision for entry in trusted)] == answers
    contrasting = await decide(care(0.0, 1.0, contrasting=True), 21, groups)
    assert parts(contrasting)["drop"] > parts(votes)["drop"], "unanimous groups are not trusted"
    assert gradient(contrasting) == gradient(votes), "and had no gradient"


async def test_nothing_bought_and_nothing_trusted_teaches_nothing() -> None:
    """Property 8."""
    labeller = care(0.0, 0.0)
    judged = await decide(labeller, 21, groups_of(16))
    assert parts(judged) == {"drop": 16} and gradient(judged)[0] == []
    assert await labeller.learn(step_of(21), learned(judged).settled) == {}
    assert isinstance(labeller, ActiveLabeller) and labeller.memory.records == []


async def test_who_is_trusted_is_bought_last() -> None:
    """Property 9: of 10 groups 6 are trusted and 7 bought, so that 3 of these are trusted ones."""
    judged = await decide(care(0.7, 0.6), 21, groups_of(10))
    assert parts(judged) == {"bought": 7, "vote": 3}
    unheld = await decide(care(0.4, 0.6), 21, groups_of(10))
    assert parts(unheld) == {"bought": 4, "vote": 6}
    first = {entry.group.prompt.id for entry in unheld if entry.supervision and entry.supervision.is_true}
    assert first < {entry.group.prompt.id for entry in judged if entry.supervision and entry.supervision.is_true}


async def test_what_is_dropped_has_no_advantage_and_what_is_trusted_counts_in_full() -> None:
    """Property 11: exact zeros, and weights that are exactly 1."""
    whole = portion(await decide(care(0.25, 0.25), 21, groups_of(16)))
    assert {(s.weight, bool(s.advantages.any())) for s in whole.silent} == {(0.0, False)}
    assert {(s.weight, s.offset) for s in whole.learned} == {(1.0, 0.0)}
    assert len(whole.silent) + len(whole.learned) == 16 * ROLLOUTS


@pytest.mark.parametrize(("soft", "weight"), [(1.0, 1.0), (0.25, 0.7071), (0.5, 1.0)])
def test_a_soft_weight_by_hand(soft: float, weight: float) -> None:
    """Property 11: 0.25 x 2.8284, and never more than 1."""
    gate = GateFilter(GateRest(soft=soft), ProbeConfig(), ROLLOUTS, seed=1)
    left = Left(Candidate(groups_of(1)[0], View()), Rank(sqrt(8)), Trust(0.9, held=True))
    [verdict] = gate.judge(step_of(21), [left])
    assert isinstance(verdict, Supervision)
    assert verdict.weight == pytest.approx(weight, abs=5e-5) and (soft < 1 or verdict.weight == 1.0)


async def test_a_lesson_tells_a_steps_own_records_from_earlier_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Property 17: 13 more records are remembered after each step, and none of them are earlier ones before."""
    labeller, lessons = care(0.2, 0.25), []
    assert isinstance(labeller, ActiveLabeller)
    monkeypatch.setattr(labeller.buyer, "learn", lambda step, settled, lesson: lessons.append(lesson) or {})
    for number in range(1, 4):
        groups = groups_of(64)
        views = views_of(groups, labeller.wants)
        judged = await labeller.assign(step_of(number), groups, views)
        labeller.oracle.bought.clear()  # type: ignore[attr-defined]  # or the next step would own what it bought
        await labeller.learn(step_of(number), learned(judged).settled)
        assert len(labeller.memory.records) == 13 * number
    assert [(len(lesson.own), len(lesson.earlier)) for lesson in lessons] == [(13, 0), (13, 13), (13, 26)]
    assert all(not {*map(id, lesson.own)} & {*map(id, lesson.earlier)} for lesson in lessons)
