"""Replay through the real loop: a naive second bookkeeping, fates that add up, the gradient, and going on from disk."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reads import step_of, unread
from test_batch import GRPO, scored
from test_loop import Fake, services

from effrl import loop
from effrl.advantage.build import advantages
from effrl.batch import Batch, Stored
from effrl.config.advantage import GrpoAdvantage
from effrl.config.loss import Clip, ClippedLoss
from effrl.config.replay import fresh_of
from effrl.config.schema import Config
from effrl.learn.packing import pad, size_of
from effrl.loss.policy import policy_loss
from effrl.loss.tokens import Tokens
from effrl.replay.store import ReplayStore
from effrl.seeds import stream
from effrl.sequences import Portion
from effrl.types import (
    Decision,
    Fate,
    Group,
    Judged,
    Prompt,
    ReadGroup,
    Rollout,
    Score,
    ScoredGroup,
    Status,
    Step,
    View,
)
from effrl.types import Supervision as Label

STEPS, PROMPTS, CAPACITY, SEED = 10, 6, 7, 3
CONFIG = Config.model_validate(
    {
        "data": {"train": "tasks:chain"},
        "rollout": {"prompts": PROMPTS, "refill": 0.5},
        "replay": {"capacity": CAPACITY},
        "run": {"steps": STEPS},
    }
)


class Replaying(Fake):
    """The fake services, with a real store behind them; what becomes of a group depends on its id alone."""

    def __init__(self, store: ReplayStore, steps: range) -> None:
        super().__init__([], PROMPTS, CONFIG.rollout.refill)
        self.store, self.range = store, steps
        self.batches: list[Batch] = []

    async def steps(self) -> AsyncIterator[Step]:
        for number in self.range:
            yield step_of(number)

    def batch(self, step: Step) -> Batch:
        fresh = CONFIG.fresh_at(step.number)
        return Batch(step.number, fresh, self.refill, advantages(GrpoAdvantage(std="none")), replays=PROMPTS - fresh)

    async def take(self, step_: Step, count: int) -> Sequence[Group]:
        step = step_.number
        done = len([name for name in self.journaled if name.startswith(f"{step}/")])
        names = stream(SEED, "prompts", step).sample("abcdefghijklmnop", 16)[done : done + count]
        rollout = Rollout(np.array([3], np.int32), np.full(1, -step, np.float32), "", "stop", step, step)
        return [Group(f"{step}/{name}", Prompt(name, "?"), np.array([4], np.int32), (rollout,) * 3) for name in names]

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> Sequence[Judged]:
        return [
            Judged(read, Decision.DROP)
            if fate_by_lot(read.group) is Fate.DROPPED
            else Judged(read, Decision.USE, Label("gold", "1"))
            for read in groups
        ]

    async def outcome(self, judged: Sequence[Judged]) -> Sequence[ScoredGroup]:
        return [
            ScoredGroup(entry, () if entry.decision is Decision.DROP else scores_by_lot(entry.group))
            for entry in judged
        ]

    async def draw(self, step: Step, count: int) -> Sequence[Stored]:
        return self.store.draw(step.number, count)

    async def commit(self, step: Step, batch: Batch, *rest: Any) -> None:
        self.store.add(step.number, batch.settled)
        self.batches.append(batch)


def fate_by_lot(group: Group) -> Fate:
    fates = (Fate.TRAINED, Fate.TRAINED, Fate.TRAINED, Fate.FILTERED, Fate.DROPPED, Fate.FAILED)
    return stream(SEED, "fate", group.id).choice(fates)


def scores_by_lot(group: Group) -> tuple[Score, ...]:
    values = {Fate.TRAINED: (1.0, 0.0, 0.0), Fate.FILTERED: (1.0, 1.0, 1.0), Fate.FAILED: (1.0, None, None)}
    return tuple(
        Score(None, None, Status.TIMEOUT) if value is None else Score(value, value, Status.OK)
        for value in values[fate_by_lot(group)]
    )


def new_store() -> ReplayStore:
    return ReplayStore(CAPACITY, fresh_of(PROMPTS, 0.5), SEED)


async def run(store: ReplayStore, steps: range) -> Replaying:
    fake = Replaying(store, steps)
    await loop.run(services(fake))
    return fake


class Naive:
    """What there is to replay, found out from everything that was ever rolled out, each time anew."""

    def __init__(self) -> None:
        self.steps: list[list[tuple[str, Fate]]] = []
        """Prompt and fate of each group of each step."""
        self.uses: Counter[tuple[int, str]] = Counter()

    def pool(self) -> list[tuple[int, str]]:
        pool: list[tuple[int, str]] = []
        for step, groups in enumerate(self.steps, 1):
            judged = [name for name, fate in groups if fate in (Fate.TRAINED, Fate.FILTERED)]
            pool = [entry for entry in pool[-(CAPACITY - PROMPTS // 2) :] if entry[1] not in judged]
            pool += [(step, name) for name, fate in groups if fate is Fate.TRAINED]
        return pool

    def draw(self, step: int) -> list[tuple[int, str]]:
        pool = self.pool()
        count = 0 if step <= 2 else PROMPTS - PROMPTS // 2
        chosen = stream(SEED, "replay", step).sample(range(len(pool)), min(count, len(pool)))
        drawn = [pool[index] for index in sorted(chosen)]
        self.uses.update(drawn)
        return drawn


def drawn_by(batch: Batch) -> list[tuple[int, str]]:
    return [(stored.step, stored.prompt_id) for stored in batch.replayed]


async def test_ten_steps_against_a_naive_bookkeeping() -> None:
    fake, naive = await run(new_store(), range(1, STEPS + 1)), Naive()
    assert [batch.prompts for batch in fake.batches] == [6, 6, *[3] * 8]
    for batch in fake.batches:
        expected = naive.draw(batch.step)
        assert drawn_by(batch) == expected
        metrics, ages = batch.metrics(), [batch.step - step for step, _ in expected]
        assert metrics["groups/replay_uses"] == len(expected)
        if expected:
            assert metrics["replay/age_mean"] == pytest.approx(sum(ages) / len(ages))
            assert metrics["replay/age_max"] == max(ages) and min(ages) >= 1
            assert metrics["replay/uses_max"] == max(naive.uses[entry] for entry in expected)
        naive.steps.append([(entry.scored.group.prompt.id, entry.fate) for entry in batch.settled])
    assert any(len(drawn_by(batch)) == 3 for batch in fake.batches)
    assert max(naive.uses.values()) > 1, "a group may be replayed several times"
    assert all(len({name for _, name in drawn_by(batch)}) == len(drawn_by(batch)) for batch in fake.batches)


async def test_replayed_groups_are_learned_from_and_counted_nowhere_else() -> None:
    fake = await run(new_store(), range(1, STEPS + 1))
    for batch in fake.batches:
        metrics, fresh = batch.metrics(), [entry.scored.group.id for entry in batch.settled]
        assert metrics["groups/rolled"] == len(fresh) == sum(batch.fates().values())
        assert metrics["rollout/count"] == 3 * len(fresh) == len(batch.rollouts())
        assert {rollout.version_min for rollout in batch.rollouts()} == {batch.step}
        own = [name for name in fake.journaled if name.startswith(f"{batch.step}/")]
        assert own == fresh, "a replayed group is not rolled out again"
        sequences = batch.sequences()
        assert len(sequences) == 3 * (len(batch.trained) + len(batch.replayed))
        sampled_in = Counter(-int(sequence.logprobs[0]) for sequence in sequences)
        assert sampled_in == Counter(
            [batch.step] * 3 * len(batch.trained) + [s.step for s in batch.replayed for _ in range(3)]
        ), "each keeps the log-probs of the policy that sampled it"
        found = [round(float(sequence.advantages[0]), 4) for sequence in sequences]
        assert found == [0.6667, -0.3333, -0.3333] * (len(sequences) // 3)
    assert sum(sum(batch.fates().values()) for batch in fake.batches) == len(fake.journaled)


@pytest.mark.parametrize("cut", [1, 2, 3, 7])
async def test_a_run_that_goes_on_from_a_saved_store_equals_one_that_did_not_stop(cut: int, tmp_path: Path) -> None:
    whole = await run(new_store(), range(1, STEPS + 1))
    first = await run(new_store(), range(1, cut + 1))
    first.store.save(tmp_path)
    again = new_store()
    again.load(tmp_path)
    second = await run(again, range(cut + 1, STEPS + 1))
    assert [b.metrics() for b in whole.batches] == [b.metrics() for b in [*first.batches, *second.batches]]
    assert [drawn_by(b) for b in whole.batches] == [drawn_by(b) for b in [*first.batches, *second.batches]]


# --- the batch


@given(fresh=st.integers(0, 8), replayed=st.integers(0, 8), count=st.integers(1, 4))
def test_every_update_has_its_share_of_replayed_groups(fresh: int, replayed: int, count: int) -> None:
    """A group's rollouts have 1 token where it is fresh, and 2 where it is replayed."""
    batch = Batch(5, fresh, 0.0, GRPO, replays=replayed)
    batch.add([scored([1, 0], tokens=1) for _ in range(fresh)])
    batch.replay([Stored(scored([1, 0], tokens=2), 4) for _ in range(replayed)])
    shares = [Counter(len(sequence.logprobs) for sequence in update.learned) for update in batch.updates(count)]
    assert sum(shares, Counter()) == Counter({1: 2 * fresh, 2: 2 * replayed})
    for share in shares:
        whole = replayed / (fresh + replayed)
        assert abs(share[2] / 2 - whole * (share[1] + share[2]) / 2) <= 1


def test_a_replayed_group_that_lost_its_signal_is_left_out() -> None:
    batch = Batch(5, 1, 0.0, GRPO, replays=3)
    batch.add([scored([1, 1])])
    batch.replay([Stored(scored([1, 1]), 3), Stored(scored([1, 0]), 4), Stored(scored([None, 1]), 4)])
    assert [stored.step for stored in batch.replayed] == [4]
    assert batch.metrics()["groups/replay_uses"] == 1 and batch.fates() == {Fate.FILTERED: 1}
    assert len(batch.sequences()) == 2, "a step without fresh signal learns from what it replays"


# --- the gradient


def of(rows: list[tuple[list[int], list[float], float]], name: str) -> ScoredGroup:
    """A group from the sampled tokens, behaviour log-probs and reward of each rollout; the prompt is token 0."""
    rollouts = tuple(
        Rollout(np.array(ids, np.int32), np.array(logprobs, np.float32), "", "stop", 0, 0) for ids, logprobs, _ in rows
    )
    group = Group(name, Prompt(name, "?"), np.array([0], np.int32), rollouts)
    scores = tuple(Score(reward, reward, Status.OK) for *_, reward in rows)
    return ScoredGroup(Judged(unread(group), Decision.USE, Label("gold", "1")), scores)


@pytest.mark.parametrize("clip", ["centered", "paper"])
def test_the_gradient_is_that_of_a_loop_over_tokens(clip: Clip) -> None:
    """A policy that only looks at the last token, of which fresh and replayed rollouts were sampled; cap 1.5."""
    numbers = random.Random(5)
    table = torch.tensor([[numbers.gauss(0, 1) for _ in range(4)] for _ in range(4)], dtype=torch.float64)
    old = (table + 0.2 * torch.tensor([[numbers.gauss(0, 1) for _ in range(4)] for _ in range(4)])).log_softmax(1)
    fresh = of([([1, 2], [float(old[0, 1]), float(old[1, 2])], 1.0), ([3], [float(old[0, 3])], 0.0)], "fresh")
    replayed = of([([2, 1, 1], [-0.3, -4.0, -1.0], 0.0), ([1, 3], [-2.5, -0.9], 1.0), ([2], [-1.2], 0.0)], "old")
    batch = Batch(3, 1, 0.0, advantages(GrpoAdvantage(std="none")), replays=1)
    batch.add([fresh])
    batch.replay([Stored(replayed, 1)])
    sequences, config = batch.sequences(), ClippedLoss(tis_cap=1.5)

    weights = table.clone().requires_grad_()
    made = pad(sequences)
    ids = torch.tensor(made.ids, dtype=torch.long)
    mask, behaviour, values = (
        torch.tensor(a, dtype=torch.float64) for a in (made.mask, made.behaviour, made.advantages)
    )
    new_logprobs, old_logprobs = (
        torch.nn.functional.pad(logs[ids[:, :-1], ids[:, 1:]], (1, 0)) * mask for logs in (weights.log_softmax(1), old)
    )
    sums = policy_loss(config, Tokens(new_logprobs, old_logprobs, behaviour, values, mask), clip)
    (sums["loss"] / size_of(Portion(sequences), config, 9).denominator).backward()

    expected, tokens = torch.zeros(4, 4, dtype=torch.float64), 0
    probabilities = table.softmax(1)
    for group in (fresh, replayed):
        rewards = [score.reward or 0.0 for score in group.scores]
        for rollout, reward in zip(group.group.rollouts, rewards, strict=True):
            advantage, last = reward - sum(rewards) / len(rewards), 0
            for token, sampled in zip(rollout.token_ids.tolist(), rollout.logprobs.tolist(), strict=True):
                weight = min(1.5, float(np.exp(float(old[last, token]) - sampled)))
                x = weight * float(probabilities[last, token] / old[last, token].exp())
                center = weight if clip == "centered" else 1.0
                silent = x > 1.2 * center if advantage > 0 else x < 0.8 * center
                gradient = torch.nn.functional.one_hot(torch.tensor(token), 4) - probabilities[last]
                expected[last] -= 0.0 if silent else x * advantage * gradient
                tokens, last = tokens + 1, token
    assert weights.grad is not None and expected.abs().max() > 0.1
    torch.testing.assert_close(weights.grad, expected / tokens, rtol=1e-5, atol=1e-6)
