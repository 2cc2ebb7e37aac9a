"""What an implicit PRM learns from: rollouts of groups that are learned from for the first time, and their outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from effrl.learn.packing import MicroBatch, layout, pad, unweighted, weightless
from effrl.sequences import TrainingSequence
from effrl.types import Float32, Float64, Rollout, ScoredGroup

PrmLoss = Literal["ce", "dpo", "bon_acc", "bon_rm"]


@dataclass(frozen=True, slots=True)
class PrmBatch:
    """A micro-batch of B rollouts, and what the PRM is to say of each: ``sigmoid(beta sum log-ratio - shift)`` should
    be the ``target``. In ``batch.old`` are the reference's log-probs, where the policy is the reference."""

    batch: MicroBatch
    target: Float32
    """[B] in [0, 1]"""
    shift: Float32
    """[B] in units of rewards."""
    weight: Float32
    """[B] of the row in the mean."""


@dataclass(frozen=True, slots=True)
class LabelledGroup:
    """The rollouts of one group that have an outcome."""

    group: ScoredGroup
    places: tuple[int, ...]
    """Of these rollouts in the group."""
    outcomes: Float32
    """[K] in [0, 1]: the labels."""

    @property
    def rollouts(self) -> list[Rollout]:
        return [self.group.group.rollouts[place] for place in self.places]

    @property
    def weight(self) -> float:
        """Of the group's supervision."""
        supervision = self.group.judged.supervision
        assert supervision is not None, "it is learned from"
        return supervision.weight

    @property
    def lengths(self) -> list[int]:
        return [len(rollout.token_ids) for rollout in self.rollouts]


def labelled(scored: ScoredGroup) -> LabelledGroup:
    """The labels of a group: outcomes, or what stands in their place (``Supervision.values``), cut to [0, 1]."""
    supervision = scored.judged.supervision
    assert supervision is not None, "it is learned from"
    found = [score.outcome for score in scored.scores]
    places = tuple(place for place, outcome in enumerate(found) if outcome is not None)
    read = found if supervision.values is None else supervision.values
    return LabelledGroup(scored, places, np.clip(np.array([read[place] for place in places], np.float32), 0.0, 1.0))


def sequences_of(examples: LabelledGroup, reference: Sequence[Float32] | None) -> list[TrainingSequence]:
    """One for each rollout, with the reference's log-probs [T_i] of all rollouts of the group where they are known."""
    prompt = examples.group.group.prompt_ids
    rows = [
        unweighted(np.concatenate([prompt, rollout.token_ids]).astype(np.int32), len(prompt))
        for rollout in examples.rollouts
    ]
    if reference is None:
        return rows
    return [replace(row, old=reference[place]) for row, place in zip(rows, examples.places, strict=True)]


@dataclass(frozen=True, slots=True)
class Targets:
    """[N] each; see :class:`PrmBatch`."""

    target: Float32
    shift: Float32
    weight: Float32


def targets(groups: Sequence[LabelledGroup], loss: PrmLoss, rewards: Sequence[Float64] | None = None) -> Targets:
    """What the PRM is to say of each rollout of these groups, in order.

    ``ce`` takes outcomes as they are (PRIME, eq. 4). The others compare a rollout with those of its group that are
    better or worse, by :func:`opponents`; their weight is that of the best of n (``bon_acc``, ``bon_rm``).

    Args:
        rewards: [K] of each group, ``beta sum log-ratio`` before the update; not read for ``ce``.
    """
    weights = [np.full(len(each.places), each.weight, np.float32) for each in groups]
    outcomes = [each.outcomes for each in groups]
    if loss == "ce":
        return Targets(_joined(outcomes), np.zeros(sum(map(len, outcomes)), np.float32), _joined(weights))
    assert rewards is not None, "a preference is between rewards"
    pairs = list(zip(outcomes, rewards, strict=True))
    counted = [weight * _share(loss, *pair) for weight, pair in zip(weights, pairs, strict=True)]
    right = [np.asarray(found > 0, np.float32) for found in outcomes]
    return Targets(_joined(right), _joined([opponents(*pair) for pair in pairs]), _joined(counted))


def _share(loss: PrmLoss, outcomes: Float32, rewards: Float64) -> Float64:
    """[K] how much each rollout of a group counts."""
    match loss:
        case "bon_acc":
            return best_of_n(outcomes)
        case "bon_rm":
            return best_of_n(rewards)
        case _:
            return np.ones(len(outcomes))


def opponents(outcomes: Float32, rewards: Float64) -> Float64:
    """[K] what each rollout's reward is compared with: the mean of the worse ones for a right rollout (outcome above
    0), of the better ones for a wrong one; 0 where there is none."""
    right, ahead = outcomes > 0, outcomes[:, None] - outcomes[None]
    against = np.where(right[:, None], ahead > 0, ahead < 0)
    means: Float64 = np.where(against, rewards, 0.0).sum(1) / np.maximum(1, against.sum(1))
    return means


def best_of_n(values: Float32 | Float64) -> Float64:
    """[K] ``K F^(K-1)``, the density of the best of K; F is the share of the group that is not above a rollout."""
    n = len(values)
    densities: Float64 = n * (values[None] <= values[:, None]).mean(1) ** (n - 1.0)
    return densities


def shared_out(
    rows: Sequence[TrainingSequence], wanted: Targets, ranks: int, tokens: int
) -> tuple[list[list[list[int]]], list[list[PrmBatch]]]:
    """Rows in micro-batches of at most ``tokens`` tokens, over ranks: the indices in them, and the batches.

    A rank without any gets one of weight zero, since a step needs a backward pass on every rank.
    """
    places = layout([len(row.ids) for row in rows], ranks, tokens)
    batches = [[_batch(rows, wanted, indices) for indices in share] for share in places]
    return places, [share or [idle(rows[0].old is not None)] for share in batches]


def idle(has_reference: bool) -> PrmBatch:
    """A batch without any influence, for a rank that has to take part in a pass."""
    batch, none = weightless(), np.zeros(1, np.float32)
    return PrmBatch(replace(batch, old=np.zeros_like(batch.mask)) if has_reference else batch, none, none, none)


def _batch(rows: Sequence[TrainingSequence], wanted: Targets, indices: Sequence[int]) -> PrmBatch:
    chosen = np.array(indices)
    return PrmBatch(pad([rows[n] for n in indices]), wanted.target[chosen], wanted.shift[chosen], wanted.weight[chosen])


def _joined(parts: Sequence[Float32 | Float64]) -> Float32:
    return np.concatenate([np.asarray(part, np.float32) for part in parts])
