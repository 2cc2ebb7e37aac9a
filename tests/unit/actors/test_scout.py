"""The scout: what it measures for a selector, against which labels, and what becomes of its rollouts."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from fake_actor import Method
from reads import ids_of, replies, step_of

from actors.driver import scout as scouting
from actors.driver.rollouts import RolloutService
from actors.driver.scout import Scout
from actors.rollout.sampling import Sampled, SampleRequest
from effrl.config.schema import Config
from effrl.protocols import LookAhead
from effrl.questions import Label, Question, Reply, Standing
from effrl.run.metrics import Stopwatch
from effrl.types import Group, Pick, Prompt, ReadGroup, Rollout, Score, Status, Step

POOL = [Prompt(f"p/{n}", f"{n}") for n in range(6)]
ANSWERS = {"p/0": "aaab", "p/1": "abcd", "p/2": "bbbb", "p/3": "aabb"}
"""What the policy answers, one letter per rollout; ``a`` is right."""


class Data:
    """A data actor whose selector looks at four prompts before step 1, then chooses two of them and two others."""

    def __init__(self) -> None:
        self.found: dict[int, Mapping[str, float]] = {}
        self.request = Method(lambda step: LookAhead(tuple(POOL[:4]), "pass_rate") if step == 1 else None)
        self.receive = Method(lambda step, found: self.found.update({step: found}))
        self.select = Method(lambda count: [Pick(POOL[n], 4) for n in (4, 0, 5, 3)])


class Oracle:
    def __init__(self, owned: Sequence[str] = ()) -> None:
        self.has, self.bought = set(owned), list[str]()

    async def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]:
        self.bought += ids_of(questions)
        return replies(["a"] * len(questions))

    async def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[Standing]:
        return [Label("a") if name in self.has else None for name in prompt_ids]


class Rewards:
    async def score(self, groups: Sequence[tuple[Group, str | None]]) -> list[tuple[Score, ...]]:
        return [tuple(score(rollout.text, label) for rollout in group.rollouts) for group, label in groups]

    async def answers(self, groups: Sequence[Group]) -> list[ReadGroup]:
        found = []
        for group in groups:
            letters = [rollout.text for rollout in group.rollouts]
            order = sorted(set(letters), key=lambda letter: (-letters.count(letter), letters.index(letter)))
            found.append(ReadGroup(group, tuple(letters), tuple(order.index(letter) for letter in letters)))
        return found


def score(text: str, label: str | None) -> Score:
    if text == "d":
        return Score(None, None, Status.TIMEOUT)
    return Score(float(text == label), float(text == label), Status.OK)


class Sampling:
    """Samples nothing twice: every request is written down."""

    def __init__(self) -> None:
        self.asked: list[SampleRequest] = []

    async def __call__(self, requests: Sequence[SampleRequest]) -> list[Sampled]:
        self.asked += requests
        one, zero = np.ones(1, np.int32), np.zeros(1, np.float32)
        return [
            Sampled(one, tuple(Rollout(one, zero, text, "stop", 0, 0) for text in ANSWERS.get(r.prompt.id, "aabb")))
            for r in requests
        ]


def scout(label: dict[str, Any], oracle: Oracle) -> tuple[Scout, Data, Sampling]:
    config = Config.model_validate(
        {
            "data": {"train": "tasks:chain"},
            "rollout": {"prompts": 4, "per_prompt": 4, "refill": 0},
            "label": label,
            "reward": {"kind": "exact"},
        }
    )
    data, sampling = Data(), Sampling()
    return Scout(data, sampling, Rewards(), oracle, config, None, Stopwatch(), None, None), data, sampling  # type: ignore[arg-type]


def test_with_gold_labels_every_label_is_bought_and_rates_leave_out_what_could_not_be_scored() -> None:
    oracle = Oracle()
    made, data, _ = scout({"kind": "gold"}, oracle)
    asyncio.run(made(step_of(1))) and asyncio.run(made(step_of(2)))
    assert oracle.bought == ["p/0", "p/1", "p/2", "p/3"]
    assert data.found == {1: {"p/0": 0.75, "p/1": pytest.approx(1 / 3), "p/2": 0.0, "p/3": 0.5}}


def test_other_labellers_buy_nothing_and_what_is_not_owned_counts_by_the_votes_share() -> None:
    oracle = Oracle(owned=["p/2"])
    made, data, _ = scout({"kind": "vote"}, oracle)
    asyncio.run(made(step_of(1)))
    assert oracle.bought == []
    assert data.found == {1: {"p/0": 0.75, "p/1": 0.25, "p/2": 0.0, "p/3": 0.5}}


def test_a_look_at_a_whole_pool_is_cut_so_that_no_wait_is_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    made, data, sampling = scout({"kind": "gold"}, Oracle())
    calls: list[int] = []

    async def counted(requests: Sequence[SampleRequest]) -> list[Sampled]:
        calls.append(len(requests))
        return await sampling(requests)

    made.sampler = counted  # type: ignore[assignment]
    monkeypatch.setattr(scouting, "CHUNK", 3)
    asyncio.run(made(step_of(1)))
    assert calls == [3, 1] and data.found[1].keys() == {"p/0", "p/1", "p/2", "p/3"}


def test_rollouts_of_the_scout_are_learned_from_where_their_prompts_are_chosen() -> None:
    made, data, sampling = scout({"kind": "gold"}, Oracle())
    config = made.config
    service = RolloutService(data, sampling, config, 1, Stopwatch(), made)  # type: ignore[arg-type]
    groups = asyncio.run(service.take(step_of(1), 4))
    assert [group.prompt.id for group in groups] == ["p/4", "p/0", "p/5", "p/3"]
    assert [group.purpose for group in groups] == ["train"] * 4
    assert ["".join(rollout.text for rollout in group.rollouts) for group in groups] == ["aabb", "aaab", "aabb", "aabb"]
    assert [request.prompt.id for request in sampling.asked] == ["p/0", "p/1", "p/2", "p/3", "p/4", "p/5"]
    assert made.metrics(1) == {"scout/prompts": 4, "scout/rollouts": 8, "scout/tokens": 8, "scout/reused": 8}
    again = asyncio.run(service.take(step_of(2), 4))
    assert len(sampling.asked) == 10, "what was sampled with an older policy is not fresh any more"
    assert [group.prompt.id for group in again] == ["p/4", "p/0", "p/5", "p/3"] and made.metrics(2) == {}


async def test_a_look_that_ends_after_its_step_counts_in_the_next_one() -> None:
    """With staleness prompts are chosen beside the learner."""
    made, _, _ = scout({"kind": "gold"}, Oracle())
    sampled = await made(step_of(1))
    before = made.metrics(1)
    made.reused(1, list(sampled.values())[:2])
    after = made.metrics(2)
    assert before["scout/rollouts"] == 16 and after == {"scout/rollouts": -8, "scout/tokens": -8, "scout/reused": 8}
    assert made.metrics(3) == {}
