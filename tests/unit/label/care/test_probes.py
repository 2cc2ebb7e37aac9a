"""The two probes: what they may and may not see, how classes are balanced, and that they learn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from reads import answered, step_of
from seen import HIDDEN, ROLLOUTS, record, seen

from effrl.config.buy import CareBuy, ProbeConfig
from effrl.config.rest import GateRest
from effrl.errors import RunError
from effrl.label.buy.care import CareBuyer, count_loss, expected_gaps
from effrl.label.buy.entropy import EntropyBuyer
from effrl.label.care.features import Features
from effrl.label.care.network import NEVER, CountProbe, VoteProbe, inputs_of
from effrl.label.care.records import Lesson, ProbeRecord
from effrl.label.care.training import balanced
from effrl.label.halves import Candidate
from effrl.label.rest.gate import GateFilter
from effrl.types import View

CONFIG = ProbeConfig()
GROUPS = [seen([4, 3, 1], 1), seen([3, 3], 2), seen([8], 3), seen([], 4)]


def made(kind: type[VoteProbe] | type[CountProbe]) -> VoteProbe | CountProbe:
    """A probe whose running statistics are not those of the beginning."""
    torch.manual_seed(1)
    probe = kind(HIDDEN, ROLLOUTS, CONFIG).train()
    for seed in range(3):
        probe(inputs_of([seen([4, 3, 1], seed), seen([5, 2], seed + 10), seen([2, 2, 1], seed + 20)]))
    return probe.eval()


def permuted(group: Features, order: np.ndarray) -> Features:  # type: ignore[type-arg]
    return replace(group, last=group.last[order], lengths=group.lengths[order], minority=group.minority[order])


def test_expected_gap_by_hand() -> None:
    """Property 5."""
    inputs = inputs_of([GROUPS[0]])
    chances = torch.zeros(1, ROLLOUTS + 1)
    chances[0, [0, 1, 3]] = torch.tensor([0.5, 0.2, 0.3])
    assert float(expected_gaps(chances, inputs.gaps)) == pytest.approx(3.9519, abs=5e-5)
    logits = torch.full((1, ROLLOUTS + 1), NEVER)
    logits[0, [0, 1, 3]] = torch.tensor([0.2, -0.4, 0.9])
    assert logits.softmax(1)[0, [0, 1, 3]].tolist() == pytest.approx([0.28070, 0.15405, 0.56525], abs=5e-6)
    assert float(expected_gaps(logits.softmax(1), inputs.gaps)) == pytest.approx(4.5293, abs=5e-5)


def test_the_order_of_rollouts_does_not_matter() -> None:
    """Property 14."""
    order = np.random.default_rng(0).permutation(ROLLOUTS)
    moved = [permuted(group, order) for group in GROUPS]
    vote, count = made(VoteProbe), made(CountProbe)
    with torch.no_grad():
        (one, each), (other, each_moved) = vote(inputs_of(GROUPS)), vote(inputs_of(moved))
        torch.testing.assert_close(one, other)
        torch.testing.assert_close(each[:, order], each_moved)
        assert not torch.allclose(each, each_moved), "otherwise single rollouts would not be told apart"
        torch.testing.assert_close(count(inputs_of(GROUPS)), count(inputs_of(moved)))


def test_the_count_probe_sees_the_minority_alone() -> None:
    """Property 15."""
    noise = np.random.default_rng(5).normal(size=(ROLLOUTS, HIDDEN)).astype(np.float32)
    count = made(CountProbe)
    hidden = [replace(g, last=np.where(g.minority[:, None], g.last, noise)) for g in GROUPS]
    shown = [replace(g, last=np.where(g.minority[:, None], noise, g.last)) for g in GROUPS]
    with torch.no_grad():
        assert torch.equal(count(inputs_of(hidden)), count(inputs_of(GROUPS)))
        assert not torch.allclose(count(inputs_of(shown)), count(inputs_of(GROUPS)))


def test_what_is_not_admissible_is_never_expected() -> None:
    """Properties 16 and 6."""
    with torch.no_grad():
        chances = made(CountProbe)(inputs_of(GROUPS)).softmax(1)
    assert chances[~inputs_of(GROUPS).admissible].max() < 1e-30
    gaps = expected_gaps(chances, inputs_of(GROUPS).gaps)
    assert gaps[2:].tolist() == [0.0, 0.0], "unanimous, and without an answer"
    assert all(np.sqrt(ROLLOUTS) - 1e-5 <= gap <= 2 * np.sqrt(ROLLOUTS) for gap in gaps[:2].tolist())


def test_a_number_that_cannot_be_is_refused() -> None:
    """Property 16."""
    records = [record([4, 3, 1], 3), replace(record([4, 3, 1]), others_right=2)]
    inputs = inputs_of([entry.features for entry in records])
    with pytest.raises(ValueError, match="no sum"):
        count_loss(made(CountProbe).train(), inputs, records)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("counts", "weights"),
    [([9, 4], [0.8, 1.2]), ([25, 1], [0.3333, 1.6667]), ([10, 0], [1.0, 0.0]), ([1000, 1], [0.25, 1.9387])],
)
def test_class_weights(counts: list[int], weights: list[float]) -> None:
    """Property 13."""
    classes = torch.tensor([number for number, count in enumerate(counts) for _ in range(count)])
    assert balanced(classes, 2).tolist() == pytest.approx(weights, abs=5e-5)


def told(right: bool, seed: int) -> ProbeRecord:
    """A group of which the first number of every rollout's state says whether the rollout is right."""
    group, draw = seen([4, 3, 1], seed), np.random.default_rng(seed)
    correct = np.array([right] * 4 + [not right and seed % 2 == 0] * 3 + [False])
    last = draw.normal(size=(ROLLOUTS, HIDDEN)).astype(np.float32)
    last[:, 0] = np.where(correct, 2.0, -2.0)
    return ProbeRecord(replace(group, last=last), correct, right, 0 if right else 3 * (seed % 2 == 0))


async def taught(steps: int) -> tuple[GateFilter, CareBuyer]:
    """Both halves after some steps of 13 labels."""
    gate, buyer = GateFilter(GateRest(warmup=0), CONFIG, ROLLOUTS, 1), CareBuyer(CareBuy(), CONFIG, ROLLOUTS, 1)
    earlier: list[ProbeRecord] = []
    for number in range(1, steps + 1):
        own = [told(place % 3 > 0, 100 * number + place) for place in range(13)]
        for half in (gate, buyer):
            half.learn(step_of(number), [], Lesson(own, earlier))
        earlier += own
    return gate, buyer


def candidates(records: list[ProbeRecord]) -> list[Candidate]:
    return [Candidate(answered(f"p{n:03}", *"aaaabbbc"), View(), entry.features) for n, entry in enumerate(records)]


async def test_probes_learn_what_can_be_learned() -> None:
    """Property 19."""
    gate, buyer = await taught(50)
    fresh = [told(number % 3 > 0, 9000 + number) for number in range(96)]
    trusts = gate.trust(step_of(51), candidates(fresh), groups=64)
    held = [entry.vote_right for entry, trust in zip(fresh, trusts, strict=True) if trust.held]
    assert len(held) == 16 and np.mean(held) > 0.95
    ranks = await buyer.rank(step_of(51), candidates(fresh))
    best = sorted(zip(ranks, fresh, strict=True), key=lambda pair: -(pair[0].score or 0))[:16]
    assert np.mean([entry.others_right == 3 for _, entry in best]) > 0.9, "16 of the 96 have a wrong vote to correct"


async def test_too_little_teaches_nothing() -> None:
    buyer = CareBuyer(CareBuy(), CONFIG, ROLLOUTS, 1)
    few = [told(True, seed) for seed in range(7)]
    assert buyer.learn(step_of(1), [], Lesson(few, [])) == {}
    assert buyer.learn(step_of(1), [], Lesson([], [*few, *few])) == {}, "no label of this step"
    assert "label/buyer_loss" in buyer.learn(step_of(1), [], Lesson(few, few[:1]))


async def test_until_the_probe_knows_something_entropy_may_rank() -> None:
    groups = [
        Candidate(answered(name, *answers), View(), seen([5, 3]))
        for name, answers in (("a", "1112"), ("b", "1234"), ("c", "1111"))
    ]
    buyer = CareBuyer(CareBuy(warmup=2), CONFIG, ROLLOUTS, 1)
    early = [rank.score for rank in await buyer.rank(step_of(2), groups)]
    assert early == [rank.score for rank in await EntropyBuyer().rank(step_of(2), groups)]
    late = [rank.score for rank in await buyer.rank(step_of(3), groups)]
    assert late[0] == late[1] == late[2] != early[2], "the probe sees three equal groups"


async def test_another_group_size_is_one_clear_line() -> None:
    group = Candidate(candidates([told(True, 1)])[0].read, View(), seen([2, 1], n=4))
    with pytest.raises(RunError, match=r"rollout\.per_prompt \(8\) rollouts, and the selector asked for 4"):
        await CareBuyer(CareBuy(), CONFIG, ROLLOUTS, 1).rank(step_of(1), [group])


async def test_a_checkpoint_brings_both_probes_back_bit_for_bit(tmp_path: Path) -> None:
    whole = await taught(4)
    half = await taught(3)
    fresh = [GateFilter(GateRest(warmup=0), CONFIG, ROLLOUTS, 1), CareBuyer(CareBuy(), CONFIG, ROLLOUTS, 1)]
    own = [told(place % 3 > 0, 400 + place) for place in range(13)]
    earlier = [told(place % 3 > 0, 100 * number + place) for number in (1, 2, 3) for place in range(13)]
    for before, after, unbroken in zip(half, fresh, whole, strict=True):
        saved = await before.save(tmp_path)
        await after.load(tmp_path, saved.state)
        after.learn(step_of(4), [], Lesson(own, earlier))
        one, other = (part.probe.ask([entry.features for entry in own])[0] for part in (after, unbroken))  # type: ignore[attr-defined]
        for name, tensor in one.state_dict().items():
            assert torch.equal(tensor, other.state_dict()[name]), name
