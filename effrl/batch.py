"""The batch of one step: it knows what is missing, what may still be spent on refills, and the fate of every group."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from effrl.config.rollout import PassBand
from effrl.errors import RunError
from effrl.sequences import GroupRewards, Portion, ProcessReward, TokenRewards, TrainingSequence, entropy_weights
from effrl.types import (
    Decision,
    Fate,
    Float32,
    Float64,
    Group,
    Judged,
    ReadGroup,
    Rollout,
    ScoredGroup,
    Status,
)

AdvantageFunction = Callable[[Sequence[GroupRewards]], Sequence[Sequence[Float32]]]
"""Advantages of a step: for each group that is learned from, one array per rollout: [T_i], a number for each of its
tokens, or [1], the same for all of them.

There is at least one group, and N >= 2 rollouts in each; N may differ, since rollouts that could not be scored are left
out. The whole step is seen at once, so that an estimator may use its statistics.
"""

Whole = TypeVar("Whole")


@dataclass(frozen=True, slots=True)
class Settled:
    """A scored group and its fate."""

    scored: ScoredGroup
    fate: Fate

    @classmethod
    def too_late(cls, group: Group) -> "Settled":
        """A group that nobody has looked at: no step may learn from it any more, since the policy has moved on."""
        nothing = (None,) * len(group.rollouts)
        read = ReadGroup(group, nothing, nothing)
        return cls(ScoredGroup(Judged(read, Decision.DROP, reason="sampled too many versions ago"), ()), Fate.STALE)


@dataclass(frozen=True, slots=True)
class Stored:
    """A scored group that later steps may learn from again."""

    scored: ScoredGroup
    step: int
    """The step that rolled it out."""
    uses: int = 0
    """Times that it was replayed; the first time, when it was fresh, does not count."""

    @property
    def prompt_id(self) -> str:
        return self.scored.group.prompt.id


@dataclass
class Batch:
    """Groups of one step.

    Groups without signal are filtered and replaced as long as the refill budget lasts; then the step learns from
    what it has. Replayed groups are apart: they had their one fate in the step that rolled them out.
    """

    step: int
    prompts: int
    """Groups to roll out and train on."""
    refill: float
    """Refill budget in multiples of the first draw's tokens."""
    advantage: AdvantageFunction
    contrast: bool = True
    """Whether a group teaches only what sets its rollouts apart; then one with equal outcomes is filtered."""
    replays: int = 0
    """Groups of earlier steps to learn from besides, as far as there are so many."""
    settled: list[Settled] = field(default_factory=list)
    joined: list[Settled] = field(default_factory=list)
    """Groups of earlier steps that were parked until now, and their fate. They count in no refill."""
    replayed: list[Stored] = field(default_factory=list)
    process: ProcessReward = field(default_factory=ProcessReward)
    """Rewards of single tokens, and what was measured of them."""
    max_age: int = 0
    """Policy versions that a group may have been parked for, to be learned from still."""
    band: PassBand | None = None
    """Where the mean outcome of a group must lie to be learned from; anywhere by default."""
    weigh: bool = False
    """Whether rollouts count in proportion to their entropy."""
    _first_draw_tokens: int = 0
    _tokens: int = 0

    @property
    def trained(self) -> list[ScoredGroup]:
        """Groups with signal that are learned from for the first time: those of this step, and those that joined it."""
        return [settled.scored for settled in (*self.settled, *self.joined) if settled.fate is Fate.TRAINED]

    @property
    def learned(self) -> list[ScoredGroup]:
        """All groups that the step learns from, in the order of packing: fresh and replayed ones spread evenly."""
        return _mixed(self.trained, [stored.scored for stored in self.replayed])

    @property
    def silent(self) -> list[ScoredGroup]:
        """Groups that were sampled for this step and teach nothing: without signal, unbalanced, or dropped by the
        labeller.

        They have a part in a mean over all that was sampled. Groups that failed, and those that are parked or stale,
        have none.
        """
        settled = (*self.settled, *self.joined)
        silent = (Fate.FILTERED, Fate.UNBALANCED, Fate.DROPPED)
        return [entry.scored for entry in settled if entry.fate in silent]

    @property
    def missing(self) -> int:
        """Groups to draw next: all at first; then as many replacements as the remaining budget is likely to pay for."""
        if not self.settled:
            return self.prompts
        fates = self.fates()
        # A refill of a group that was dropped or parked would be dropped or parked as well.
        wanted = self.prompts - fates[Fate.TRAINED] - fates[Fate.DROPPED] - fates[Fate.PARKED]
        budget_left = self._first_draw_tokens * (1 + self.refill) - self._tokens
        tokens_per_group = self._tokens / len(self.settled)
        return max(0, min(wanted, int(budget_left / max(1.0, tokens_per_group))))

    def join(self, answered: Sequence[ScoredGroup], version: int) -> None:
        """Settle the fate of groups that were parked, now that they have their label.

        One that the policy, now at ``version``, has left more than ``max_age`` versions behind is stale.
        """
        self.joined = [Settled(scored, self._fate_of_old(scored, version)) for scored in answered]

    def add(self, scored: Sequence[ScoredGroup]) -> None:
        """Settle the fate of each group. Groups must come in a reproducible order: it is the order of packing."""
        drawn = sum(group.group.tokens for group in scored)
        if not self.settled:
            self._first_draw_tokens = drawn
        self._tokens += drawn
        self.settled.extend(Settled(group, self._fate(group)) for group in scored)

    def replay(self, drawn: Sequence[Stored]) -> None:
        """Learn from these groups of earlier steps too; one whose signal is gone since it was re-scored is left out."""
        self.replayed = [stored for stored in drawn if self._fate(stored.scored) is Fate.TRAINED]

    def _fate_of_old(self, scored: ScoredGroup, version: int) -> Fate:
        age = version - oldest(scored.group)
        has_label = scored.judged.decision is Decision.USE
        return Fate.STALE if has_label and age > self.max_age else self._fate(scored)

    def _fate(self, scored: ScoredGroup) -> Fate:
        return fate_of(scored, self.contrast, self.band)

    def rollouts(self) -> list[Rollout]:
        """All fresh rollouts of the step, whatever became of them."""
        return [rollout for settled in self.settled for rollout in settled.scored.group.rollouts]

    def fates(self) -> Counter[Fate]:
        return Counter(settled.fate for settled in self.settled)

    def metrics(self, late: int = 0) -> dict[str, float | None]:
        """Metrics of this step's rollouts, outcomes (of joined groups too) and fates, and apart of what it replays.

        Args:
            late: groups that were rolled out for this step or one before, and came too late for it.
        """
        groups, rollouts = [settled.scored.group for settled in self.settled], self.rollouts()
        scores = [score for settled in (*self.joined, *self.settled) for score in settled.scored.scores]
        outcomes = [score.outcome for score in scores if score.outcome is not None]
        terms = [score.terms for score in scores if score.reward is not None]
        fates, mean = self.fates(), float(np.mean(outcomes)) if outcomes else None
        return {
            "reward/outcome_mean": mean,
            **{f"reward/terms/{name}": float(np.mean([found[name] for found in terms])) for name in (terms or [{}])[0]},
            **{f"reward/status/{status}": sum(score.status is status for score in scores) for status in Status},
            "rollout/count": len(rollouts),
            "rollout/failed": sum(rollout.failed for rollout in rollouts),
            "rollout/tokens": sum(group.tokens for group in groups),
            "rollout/truncated_fraction": truncated_fraction(rollouts),
            "groups/rolled": len(groups) + late,
            **{f"groups/{fate}": fates[fate] for fate in Fate if fate not in (Fate.ROLLED_BACK, Fate.STALE)},
            "groups/joined": len(self.joined),
            "groups/stale": late + sum(entry.fate is Fate.STALE for entry in self.joined),
            "select/effective_ratio": fates[Fate.TRAINED] / len(groups),
            "select/difficulty_mean": None if mean is None else 1 - mean,
            **_replay_metrics(self.step, self.replayed),
            **self.process.metrics,
            **self._process_share(),
        }

    def _process_share(self) -> dict[str, float]:
        """The share of the advantages' variance, over tokens, that outcomes alone do not explain.

        It is 1 less the squared correlation with the advantages that the step has without process rewards: no scaling
        or whitening of either changes it. (Of ``gae`` it is that of tokens' rewards.)
        """
        if not self.process.groups or not (groups := self.learned):
            return {}
        rewards = [_rewards(scored, self.process.groups.get(scored.group.id)) for scored in groups]
        silenced = [replace(group, tokens=tuple(map(_silenced, group.tokens or ()))) for group in rewards]
        whole, outcome = (_per_token(rewards, self.advantage(each)) for each in (rewards, silenced))
        centred, other = whole - whole.mean(), outcome - outcome.mean()
        norm = (centred @ centred) * (other @ other)
        explained = (centred @ other) ** 2 / norm if norm > 0 else 1.0 - centred.any()
        return {"process/advantage_share": float(1 - explained)}

    def sequences(self) -> list[TrainingSequence]:
        """What is learned from: one sequence per scored rollout of every group with signal, fresh or replayed."""
        return [sequence for portion in self.updates(1) for sequence in portion.learned]

    def updates(self, count: int) -> list[Portion]:
        """The same sequences in order, cut into ``count`` portions for one optimizer step each.

        Groups stay whole, so that the advantages of each portion sum to zero: it never pushes all of its rollouts up
        or down. Portions differ by at most one group; with fewer groups than portions, each group is one. The groups
        without signal are dealt out evenly too, so that each portion has its share of all that was sampled.
        """
        learned, silent = self._learned_sequences(), [_silent_sequences(scored) for scored in self.silent]
        count = min(count, len(learned or silent))
        return [Portion(*parts) for parts in zip(_cut(learned, count), _cut(silent, count), strict=True)]

    def _learned_sequences(self) -> list[list[TrainingSequence]]:
        if not (groups := self.learned):
            return []
        rewards = [_rewards(scored, self.process.groups.get(scored.group.id)) for scored in groups]
        sequences = [
            [_sequence(scored, rollout, values) for rollout, values in zip(_scored(scored), advantages, strict=True)]
            for scored, advantages in zip(groups, self.advantage(rewards), strict=True)
        ]
        return _weighed(sequences) if self.weigh else sequences


def oldest(group: Group) -> int:
    """The oldest version that sampled a token of a group."""
    return min(rollout.version_min for rollout in group.rollouts)


def outcomes_of(scored: ScoredGroup) -> list[float]:
    """Of the rollouts that could be scored, in order."""
    return [score.outcome for score in scored.scores if score.outcome is not None]


def fate_of(scored: ScoredGroup, contrast: bool = True, band: PassBand | None = None) -> Fate:
    """Dropped or parked by the labeller, failed (fewer than half of the rollouts scored), filtered (no contrast),
    unbalanced (outside of the band) or trained.

    The filter reads outcomes (or what stands in their place, ``Supervision.values``), not shaped rewards: a length
    penalty must not make a signal where there is none. With an offset every group has a signal, and so has one in which
    some lack the mark that ``reward.terms`` asks for.
    """
    if scored.judged.decision is not Decision.USE:
        return Fate.DROPPED if scored.judged.decision is Decision.DROP else Fate.PARKED
    outcomes = outcomes_of(scored)
    if 2 * len(outcomes) < len(scored.scores) or len(outcomes) < 2:
        return Fate.FAILED
    if contrast and not _has_signal(scored):
        return Fate.FILTERED
    return Fate.TRAINED if band is None or band.holds(outcomes) else Fate.UNBALANCED


def _has_signal(scored: ScoredGroup) -> bool:
    supervision = scored.judged.supervision
    assert supervision is not None, "it is in use"
    read = [score.outcome for score in scored.scores] if supervision.values is None else supervision.values
    pairs = zip(read, scored.scores, strict=True)
    kept = {(value, bool(score.terms.get("mark"))) for value, score in pairs if score.outcome is not None}
    return len(kept) > 1 or supervision.offset != 0


def _mixed(fresh: Sequence[ScoredGroup], replayed: Sequence[ScoredGroup]) -> list[ScoredGroup]:
    """Both, each in its order and spread evenly, so that every update has its share of replayed groups."""
    places = [((n + 0.5) / len(part), group) for part in (fresh, replayed) for n, group in enumerate(part)]
    return [group for _, group in sorted(places, key=lambda entry: entry[0])]


def truncated_fraction(rollouts: Sequence[Rollout]) -> float | None:
    """Share that hit the token limit, of the rollouts that the engine finished; None where it finished none."""
    finished = [rollout.finish_reason == "length" for rollout in rollouts if not rollout.failed]
    return float(np.mean(finished)) if finished else None


def _replay_metrics(step: int, replayed: Sequence[Stored]) -> dict[str, float | None]:
    if not replayed:
        return {"groups/replay_uses": 0}
    ages = [step - stored.step for stored in replayed]
    return {
        "groups/replay_uses": len(replayed),
        "replay/age_mean": float(np.mean(ages)),
        "replay/age_max": max(ages),
        "replay/uses_max": max(stored.uses for stored in replayed),
    }


def _cut(groups: Sequence[Sequence[TrainingSequence]], count: int) -> list[list[TrainingSequence]]:
    """The sequences of whole groups, in ``count`` parts that differ by at most one group."""
    return [[sequence for group in part for sequence in group] for part in in_parts(groups, count)]


def in_parts(groups: Sequence[Whole], count: int) -> list[Sequence[Whole]]:
    """Groups in order, in ``count`` parts that differ by at most one group: one for each of several updates."""
    return [groups[len(groups) * n // count : len(groups) * (n + 1) // count] for n in range(count)]


def _scored(scored: ScoredGroup) -> list[Rollout]:
    pairs = zip(scored.group.rollouts, scored.scores, strict=True)
    return [rollout for rollout, score in pairs if score.reward is not None]


def _rewards(scored: ScoredGroup, process: Sequence[TokenRewards] | None) -> GroupRewards:
    """What an estimator sees of a group, given the process rewards of all of its rollouts.

    Raises:
        RunError: process rewards are not one number per token.
    """
    found = [score.reward for score in scored.scores]
    kept = [place for place, reward in enumerate(found) if reward is not None]
    lengths = [len(rollout.token_ids) for rollout in scored.group.rollouts]
    if process is not None and [np.shape(found.values) for found in process] != [(length,) for length in lengths]:
        shapes = [np.shape(found.values) for found in process]
        raise RunError(f"process rewards of group {scored.group.id} have shapes {shapes} for tokens {lengths}")
    return GroupRewards(
        outcome=np.array([found[place] for place in kept], np.float32),
        lengths=tuple(lengths[place] for place in kept),
        tokens=None if process is None else tuple(process[place] for place in kept),
    )


def _silenced(tokens: TokenRewards) -> TokenRewards:
    return replace(tokens, values=np.zeros_like(tokens.values))


def _per_token(groups: Sequence[GroupRewards], advantages: Sequence[Sequence[Float32]]) -> Float64:
    """The advantages of all tokens of a step, one after the other."""
    pairs = zip(groups, advantages, strict=True)
    rows = [
        np.broadcast_to(row, length) for group, found in pairs for row, length in zip(found, group.lengths, strict=True)
    ]
    return np.concatenate(rows).astype(np.float64)


def _sequence(scored: ScoredGroup, rollout: Rollout, advantages: Float32) -> TrainingSequence:
    supervision = scored.judged.supervision
    assert supervision is not None, "it is learned from"
    return TrainingSequence(
        ids=np.concatenate([scored.group.prompt_ids, rollout.token_ids]),
        prompt_length=len(scored.group.prompt_ids),
        logprobs=rollout.logprobs,
        advantages=np.broadcast_to(np.asarray(advantages, np.float32), rollout.logprobs.shape),
        weight=supervision.weight,
        offset=supervision.offset,
    )


def _weighed(groups: Sequence[Sequence[TrainingSequence]]) -> list[list[TrainingSequence]]:
    """The sequences of a step, each with its entropy's part in its weight: on average they count as before."""
    weights = iter(entropy_weights([sequence.logprobs for group in groups for sequence in group]))
    return [[replace(sequence, weight=sequence.weight * next(weights)) for sequence in group] for group in groups]


def _silent_sequences(scored: ScoredGroup) -> list[TrainingSequence]:
    """Of a group that teaches nothing; one that was dropped has no scores, and keeps what the engine finished."""
    rollouts = _scored(scored) if scored.scores else [r for r in scored.group.rollouts if not r.failed]
    prompt = scored.group.prompt_ids
    return [
        TrainingSequence(
            ids=np.concatenate([prompt, rollout.token_ids]),
            prompt_length=len(prompt),
            logprobs=rollout.logprobs,
            advantages=np.zeros_like(rollout.logprobs),
            weight=0.0,
            silent=True,
        )
        for rollout in rollouts
    ]
