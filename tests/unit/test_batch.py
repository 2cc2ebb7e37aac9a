"""The batch: fates, refills, and what the learner sees."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reads import unread

from effrl.advantage.build import advantages
from effrl.batch import Batch, fate_of
from effrl.config.advantage import GrpoAdvantage, ReinforcePpAdvantage
from effrl.config.loss import ClippedLoss
from effrl.config.rollout import PassBand
from effrl.errors import RunError
from effrl.learn.packing import size_of
from effrl.reward.reading import LOST
from effrl.sequences import GroupRewards, ProcessReward, TokenRewards
from effrl.types import Decision, Fate, Float32, Group, Judged, Prompt, Rollout, Score, ScoredGroup, Status, Supervision

GRPO = advantages(GrpoAdvantage())
PARK = Decision.PARK


def rollout(tokens: int) -> Rollout:
    ids = np.arange(tokens, dtype=np.int32)
    return Rollout(ids, np.zeros(tokens, np.float32), "text", "stop", 0, 0)


def scored(outcomes: list[float | None], tokens: int = 3, drop: bool = False, name: str = "g") -> ScoredGroup:
    group = Group(name, Prompt(name, "1+1="), np.array([7, 8], np.int32), tuple(rollout(tokens) for _ in outcomes))
    if drop:
        return ScoredGroup(Judged(unread(group), Decision.DROP), ())
    scores = tuple(
        Score(None, None, Status.TIMEOUT) if outcome is None else Score(outcome, outcome, Status.OK)
        for outcome in outcomes
    )
    return ScoredGroup(Judged(unread(group), Decision.USE, Supervision("gold", "2")), scores)


def process(name: str, *rows: list[float]) -> ProcessReward:
    return ProcessReward({name: [TokenRewards(np.array(row, np.float32)) for row in rows]})


@pytest.mark.parametrize(
    ("outcomes", "fate"),
    [
        ([1, 0, 0, 1], Fate.TRAINED),
        ([1, 1, 1, 1], Fate.FILTERED),
        ([0, 0, 0, 0], Fate.FILTERED),
        ([1, 0, None, None], Fate.TRAINED),  # exactly half is left
        ([1, None, None, None], Fate.FAILED),
        ([None, None, None, None], Fate.FAILED),
        ([1, None], Fate.FAILED),  # a group of one has no relative advantage
    ],
)
def test_fate(outcomes: list[float | None], fate: Fate) -> None:
    assert fate_of(scored(outcomes)) is fate


@pytest.mark.parametrize(
    ("right", "of", "kept"),
    [(right, 4, right in (1, 2, 3)) for right in range(5)] + [(right, 5, 1 <= right <= 4) for right in range(6)],
)
def test_the_band_is_of_counts(right: int, of: int, kept: bool) -> None:
    """PRIME's band for 4 and 5 rollouts, bounds included: 1 of 5 is not below 0.2, nor 4 of 5 above 0.8."""
    fate = fate_of(scored([1] * right + [0] * (of - right)), contrast=False, band=PassBand())
    assert fate is (Fate.TRAINED if kept else Fate.UNBALANCED)


def test_a_band_reads_partial_credit_and_what_could_be_scored() -> None:
    assert fate_of(scored([0.5, 0.25, 0.25, None]), band=PassBand(low=0.3)) is Fate.TRAINED
    assert fate_of(scored([0.5, 0.25, None]), band=PassBand(low=0.4)) is Fate.UNBALANCED


def test_unbalanced_groups_are_replaced_and_counted() -> None:
    batch = Batch(1, 2, 1.0, GRPO, band=PassBand())
    batch.add([scored([1, 0, 0, 0]), scored([1] * 9 + [0], name="easy")])
    assert batch.missing == 1 and batch.metrics()["groups/unbalanced"] == 1
    assert [group.group.id for group in batch.silent] == ["easy"]


def test_dropped_groups_need_no_scores() -> None:
    assert fate_of(scored([0, 0], drop=True)) is Fate.DROPPED


def test_the_filter_reads_outcomes_not_rewards() -> None:
    """A length penalty must not make a signal in a group whose answers are all wrong."""
    group = scored([0, 0])
    shaped = tuple(Score(0.0, reward, Status.OK) for reward in (0.0, -0.5))
    assert fate_of(ScoredGroup(group.judged, shaped)) is Fate.FILTERED


def test_sequences_leave_out_what_could_not_be_scored() -> None:
    batch = Batch(1, 1, 0.0, GRPO)
    batch.add([scored([1, None, 0, 0])])
    sequences = batch.sequences()
    assert len(sequences) == 3
    assert [sequence.ids.tolist() for sequence in sequences] == [[7, 8, 0, 1, 2]] * 3
    expected = np.array([2 / 3, -1 / 3, -1 / 3]) / (np.sqrt(1 / 3) + 1e-6)  # by hand: sample variance of 1, 0, 0
    assert np.allclose([sequence.advantages[0] for sequence in sequences], expected, atol=1e-6)
    assert all((sequence.advantages == sequence.advantages[0]).all() for sequence in sequences)


def test_an_estimator_sees_all_trained_groups_at_once_and_no_others() -> None:
    """By hand: the squares of the differences are 1/4 twice and 1/16 four times; the filtered group has no part."""
    batch = Batch(1, 3, 0.0, advantages(ReinforcePpAdvantage()))
    batch.add([scored([1, 0]), scored([1, 1]), scored([0.5, 0.5, 0, 0, None])])
    expected = np.array([0.5, -0.5, 0.25, 0.25, -0.25, -0.25]) / np.sqrt((2 * 0.25 + 4 * 0.0625) / 6)
    assert np.allclose([sequence.advantages[0] for sequence in batch.sequences()], expected, atol=1e-5)


@given(sizes=st.lists(st.integers(2, 5), max_size=9), count=st.integers(1, 12))
def test_updates_are_whole_groups_in_order(sizes: list[int], count: int) -> None:
    batch = Batch(1, len(sizes), 0.0, GRPO)
    batch.add([scored([1, *[0] * (size - 1)], tokens=index + 1) for index, size in enumerate(sizes)])
    updates = batch.updates(count)
    lengths = [[len(sequence.logprobs) for sequence in part.learned] for part in updates]  # a group's number plus one
    expected = [index + 1 for index, size in enumerate(sizes) for _ in range(size)]
    assert [length for update in lengths for length in update] == expected
    assert len(updates) == min(count, len(sizes)), "an update without a group would learn nothing"
    groups = [set(update) for update in lengths]
    assert sum(map(len, groups)) == len(sizes), "no group is in two updates"
    assert not groups or max(map(len, groups)) - min(map(len, groups)) <= 1
    assert all(abs(sum(sequence.advantages[0] for sequence in part.learned)) < 1e-4 for part in updates)


def test_statistics_are_of_the_whole_step_however_many_updates() -> None:
    batch = Batch(1, 2, 0.0, advantages(ReinforcePpAdvantage()))
    batch.add([scored([1, 0]), scored([0.5, 0])])
    one, two = ([s.advantages[0] for part in batch.updates(n) for s in part.learned] for n in (1, 2))
    assert one == two and one[0] != one[2]


# --- what a group counts, and for what


def supervised(made: ScoredGroup, **fields: object) -> ScoredGroup:
    """The same group with other fields of its supervision."""
    supervision = replace(Supervision("vote", "2", cluster=0), **fields)  # type: ignore[arg-type]
    return replace(made, judged=replace(made.judged, supervision=supervision))


def test_weight_and_offset_reach_every_sequence_of_their_group() -> None:
    batch = Batch(1, 2, 0.0, GRPO)
    batch.add([supervised(scored([1, 0]), weight=0.5, offset=-0.25), scored([1, 0])])
    counted = [(sequence.weight, sequence.offset, sequence.silent) for sequence in batch.sequences()]
    assert counted == [(0.5, -0.25, False)] * 2 + [(1.0, 0.0, False)] * 2
    halved, whole = batch.sequences()[0], batch.sequences()[2]
    assert (halved.advantages == whole.advantages).all(), "no estimator sees them"


def sampled(made: ScoredGroup, *entropies: float) -> ScoredGroup:
    """The same group, whose rollouts have such mean entropies; lengths differ, which changes nothing."""
    rows = [np.full(3 + place, -entropy, np.float32) for place, entropy in enumerate(entropies)]
    rollouts = [Rollout(np.arange(len(row), dtype=np.int32), row, "text", "stop", 0, 0) for row in rows]
    group = replace(made.group, rollouts=tuple(rollouts))
    return replace(made, judged=replace(made.judged, read=unread(group)))


@pytest.mark.parametrize(
    ("entropies", "weights"),
    [((0.2, 0.4, 0.6), (0.5, 1, 1.5)), ((2, 4, 6), (0.5, 1, 1.5)), ((0, 0, 0), (1, 1, 1)), ((0, 3, 0), (0, 3, 0))],
    ids=["paper's", "scale free", "all sure", "one unsure"],
)
def test_a_rollout_counts_by_its_entropy(entropies: tuple[float, ...], weights: tuple[float, ...]) -> None:
    batch, plain = (Batch(1, 1, 0.0, GRPO, weigh=weigh) for weigh in (True, False))
    for made in (batch, plain):
        made.add([sampled(scored([1, 0, 0]), *entropies)])
    assert [sequence.weight for sequence in batch.sequences()] == pytest.approx(weights, abs=1e-6)
    assert [sequence.weight for sequence in plain.sequences()] == [1, 1, 1]
    pairs = zip(batch.sequences(), plain.sequences(), strict=True)
    assert all((one.advantages == other.advantages).all() for one, other in pairs), "no estimator sees them"


def test_entropies_are_compared_over_all_that_the_step_learns_from() -> None:
    """By hand: 1, 3, 4 and 8 nats have the mean 4. The filtered group has no part; a label that counts half has."""
    batch = Batch(1, 3, 0.0, GRPO, weigh=True)
    half = supervised(sampled(scored([1, 0]), 1, 3), weight=0.5)
    batch.add([half, sampled(scored([0, 0]), 100, 100), sampled(scored([1, 0]), 4, 8)])
    assert [sequence.weight for sequence in batch.sequences()] == pytest.approx([0.125, 0.375, 1, 2])
    assert [s.weight for part in batch.updates(2) for s in part.learned] == pytest.approx([0.125, 0.375, 1, 2])


@pytest.mark.parametrize(
    ("outcomes", "values", "offset", "fate"),
    [
        ([1, 1, 1], (0.5, 0.25, 0.25), 0.0, Fate.TRAINED),
        ([1, 0, 0], (0.5, 0.5, 0.5), 0.0, Fate.FILTERED),
        ([0, 0, 0], (0.0, 0.0, 0.0), -0.5, Fate.TRAINED),
        ([0, 0, 0], None, -0.5, Fate.TRAINED),
        ([1, 1, None], (0.5, 0.5, 0.25), 0.0, Fate.FILTERED),  # the third rollout could not be scored
    ],
)
def test_the_filter_reads_what_stands_in_place_of_outcomes(
    outcomes: list[float | None], values: tuple[float, ...] | None, offset: float, fate: Fate
) -> None:
    assert fate_of(supervised(scored(outcomes), values=values, offset=offset)) is fate


def test_each_token_has_the_advantage_that_was_planted_for_it() -> None:
    """Rollouts of three tokens, the second of which could not be scored; process rewards are of all three."""
    seen: list[GroupRewards] = []

    def planted(groups: Sequence[GroupRewards]) -> list[list[Float32]]:
        seen.extend(groups)
        return [[tokens.values for tokens in group.tokens or ()] for group in groups]

    batch = Batch(1, 1, 0.0, planted)
    batch.add([scored([1, None, 0])])
    batch.process = process("g", [1, 2, 3], [4, 5, 6], [7, 8, 9])
    assert [sequence.advantages.tolist() for sequence in batch.sequences()] == [[1, 2, 3], [7, 8, 9]]
    assert (seen[0].outcome.tolist(), seen[0].lengths) == ([1, 0], (3, 3))


def test_process_rewards_are_one_number_per_token() -> None:
    batch = Batch(1, 1, 0.0, GRPO)
    batch.add([scored([1, 0])])
    batch.process = process("g", [0, 0, 0], [0, 0])
    with pytest.raises(RunError, match=r"group g have shapes \[\(3,\), \(2,\)\] for tokens \[3, 3\]"):
        batch.sequences()


# --- what the mean is over


@pytest.mark.parametrize(
    ("over", "expected"), [("sampled", (80, 16, 1024)), ("trained", (20, 4, 256))], ids=["sampled", "trained"]
)
def test_one_of_four_groups_has_a_signal(over: Literal["sampled", "trained"], expected: tuple[int, ...]) -> None:
    """Four rollouts of five tokens in each, of up to 64: GRPO's mean is over all four groups, DAPO's over one."""
    batch = Batch(1, 4, 0.0, GRPO)
    batch.add([scored(outcomes, tokens=5) for outcomes in ([1, 0, 0, 0], [1] * 4, [0] * 4)])
    batch.add([scored([0] * 4, tokens=5, drop=True)])
    [portion] = batch.updates(1)
    losses = [ClippedLoss(over=over, reduce=reduce) for reduce in ("token", "sequence", "constant")]
    sizes = [size_of(portion, loss, 64) for loss in losses]
    assert tuple(size.denominator for size in sizes) == expected
    assert {size.tokens for size in sizes} == {20}, "metrics are of what is learned from"


def test_what_counts_without_being_learned_from() -> None:
    """Groups without signal and dropped ones, refills and late labels included; nothing that failed, waits or is
    stale."""
    batch = Batch(5, 3, 1.0, GRPO, max_age=1)
    batch.join([aged(1, [1, 0], "stale"), aged(4, [1, 1], "joined")], version=4)
    batch.add([scored([1, 0]), scored([1, 1, None], name="filtered"), scored([None, 1], name="failed")])
    waits = scored([1, 0], drop=True, name="waits")
    batch.add(
        [
            scored([0, 0], drop=True, name="dropped"),
            replace(waits, judged=replace(waits.judged, decision=PARK, query="q")),
        ]
    )
    lost = replace(waits.group, rollouts=(rollout(2), Rollout.lost(0)))
    batch.add([replace(waits, judged=replace(waits.judged, read=unread(lost)))])
    assert [group.group.prompt.id for group in batch.silent] == ["filtered", "dropped", "waits", "joined"]
    [portion] = batch.updates(1)
    assert [len(sequence.logprobs) for sequence in portion.silent] == [3, 3, 3, 3, 2, 3, 3]
    assert all(sequence.silent and sequence.weight == 0 for sequence in portion.silent)
    assert len(portion.learned) == 2


@given(learned=st.integers(0, 9), silent=st.integers(0, 9), count=st.integers(1, 5))
def test_every_update_has_its_share_of_what_was_sampled(learned: int, silent: int, count: int) -> None:
    batch = Batch(1, 9, 0.0, GRPO)
    batch.add([scored([1, 0]) for _ in range(learned)] + [scored([1, 1]) for _ in range(silent)])
    portions = batch.updates(count)
    assert len(portions) == min(count, learned or silent)
    if not portions:
        return
    for part, total in (("learned", learned), ("silent", silent)):
        sizes = [len(getattr(portion, part)) for portion in portions]
        assert sum(sizes) == 2 * total and max(sizes) - min(sizes) <= 2


def test_a_failed_rollout_is_not_a_zero() -> None:
    """Scoring it 0 would make a signal out of nothing here."""
    batch = Batch(1, 1, 0.0, GRPO)
    batch.add([scored([1, 1, None, 1])])
    assert batch.sequences() == [] and batch.fates()[Fate.FILTERED] == 1


def test_rollouts_that_the_engine_failed_are_counted_and_not_learned_from() -> None:
    batch, group = Batch(1, 1, 0.0, GRPO), scored([1, 0, 0])
    cut = replace(rollout(3), finish_reason="length")
    rollouts = (rollout(3), cut, rollout(3), Rollout.lost(0))
    made = replace(group.group, rollouts=rollouts)
    batch.add([ScoredGroup(replace(group.judged, read=unread(made)), (*group.scores, LOST))])
    metrics = batch.metrics()
    assert (metrics["rollout/count"], metrics["rollout/failed"], metrics["reward/status/engine"]) == (4, 1, 1)
    assert metrics["rollout/truncated_fraction"] == 1 / 3, "of those that the engine finished"
    assert [len(sequence.logprobs) for sequence in batch.sequences()] == [3, 3, 3]


def test_a_step_of_which_the_engine_finished_nothing_has_metrics_too() -> None:
    batch, group = Batch(1, 1, 1.0, GRPO), scored([None, None])
    made = replace(group.group, rollouts=(Rollout.lost(0),) * 2)
    batch.add([ScoredGroup(replace(group.judged, read=unread(made)), (LOST, LOST))])
    assert batch.metrics()["rollout/truncated_fraction"] is None
    assert batch.fates()[Fate.FAILED] == 1 and batch.missing == 0


def test_refill_stops_with_the_token_budget() -> None:
    batch = Batch(1, 4, 0.5, GRPO)
    assert batch.missing == 4
    batch.add([scored([0, 0], tokens=5) for _ in range(4)])  # 40 tokens, so 20 more may be spent: two groups
    assert batch.missing == 2
    batch.add([scored([1, 0], tokens=5), scored([0, 0], tokens=5)])
    assert batch.missing == 0
    assert len(batch.trained) == 1


def test_dropped_groups_are_not_replaced() -> None:
    batch = Batch(1, 4, 10.0, GRPO)
    batch.add([scored([], drop=True) for _ in range(4)])
    assert batch.missing == 0


@given(
    rounds=st.lists(st.lists(st.sampled_from(["trained", "filtered", "dropped", "failed"]), min_size=1), min_size=1),
    refill=st.floats(0, 3),
)
def test_every_group_has_one_fate_and_refills_never_overshoot(rounds: list[list[str]], refill: float) -> None:
    shapes = {
        "trained": ([1, 0], False),
        "filtered": ([1, 1], False),
        "dropped": ([0, 0], True),
        "failed": ([None, 1], False),
    }
    batch = Batch(1, len(rounds[0]), refill, GRPO)
    added = 0
    for kinds in rounds:
        count = min(batch.missing, len(kinds)) if added else len(kinds)
        if count == 0:
            break
        batch.add([scored(*_unpack(shapes[kind])) for kind in kinds[:count]])
        added += count
        assert len(batch.trained) <= batch.prompts
    assert sum(batch.fates().values()) == added
    metrics = batch.metrics()
    assert metrics["groups/rolled"] == sum(metrics[f"groups/{fate}"] for fate in Fate if fate is not Fate.ROLLED_BACK)  # type: ignore[misc]
    assert metrics["rollout/tokens"] <= len(rounds[0]) * 6 * (1 + refill) + 1e-6  # type: ignore[operator]


def _unpack(shape: tuple[list[float | None], bool]) -> tuple[list[float | None], int, bool]:
    return shape[0], 3, shape[1]


# --- groups that were parked


def aged(version: int, outcomes: list[float | None], name: str) -> ScoredGroup:
    """A group that version ``version`` sampled."""
    made = scored(outcomes, name=name)
    rollouts = tuple(replace(one, version_min=version) for one in made.group.rollouts)
    read = replace(made.judged.read, group=replace(made.group, rollouts=rollouts))
    return replace(made, judged=replace(made.judged, read=read))


def test_a_parked_group_gets_its_fate_when_its_label_comes() -> None:
    batch = Batch(5, 1, 0.0, GRPO, max_age=2)
    batch.join([aged(1, [1, 0], "old"), aged(2, [1, 0], "young"), aged(4, [1, 1], "equal")], version=4)
    assert [entry.fate for entry in batch.joined] == [Fate.STALE, Fate.TRAINED, Fate.FILTERED]
    assert batch.missing == 1, "the step draws its own groups all the same"
    batch.add([scored([1, 0], name="fresh")])
    assert [group.group.prompt.id for group in batch.learned] == ["fresh", "young"]
    assert len(batch.sequences()) == 4 and batch.fates() == {Fate.TRAINED: 1}


def test_a_group_that_is_parked_is_not_replaced() -> None:
    batch = Batch(1, 2, 1.0, GRPO)
    waiting = scored([1, 0], drop=True, name="waits")
    batch.add([ScoredGroup(replace(waiting.judged, decision=Decision.PARK, query="q"), ()), scored([1, 0])])
    assert batch.fates() == {Fate.PARKED: 1, Fate.TRAINED: 1} and batch.missing == 0
