"""The batch of one step: it knows what is missing, what may still be spent on refills, and the fate of every group."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from effrl.types import Decision, Fate, Float32, Group, Rollout, ScoredGroup, Status, TrainingSequence

AdvantageFunction = Callable[[Sequence[Float32]], Sequence[Float32]]
"""Advantages of a step: from the rewards of each group that is trained on, [N] each, to those of the same rollouts.

There is at least one group, and N >= 2; N may differ, since rollouts that could not be scored are left out. The whole
step is seen at once, so that an estimator may use its statistics.
"""


@dataclass(frozen=True, slots=True)
class Settled:
    """A scored group and its fate."""

    scored: ScoredGroup
    fate: Fate


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
    process: Mapping[str, Sequence[Float32]] = field(default_factory=dict)
    """Process rewards by group id: [T_i] for the tokens of each rollout; of no group where there are none."""
    max_age: int = 0
    """Policy versions that a group may have been parked for, to be learned from still."""
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
        self.settled.extend(Settled(group, fate_of(group, self.contrast)) for group in scored)

    def replay(self, drawn: Sequence[Stored]) -> None:
        """Learn from these groups of earlier steps too; one whose signal is gone since it was re-scored is left out."""
        self.replayed = [stored for stored in drawn if fate_of(stored.scored, self.contrast) is Fate.TRAINED]

    def _fate_of_old(self, scored: ScoredGroup, version: int) -> Fate:
        age = version - min(rollout.version_min for rollout in scored.group.rollouts)
        return Fate.STALE if age > self.max_age else fate_of(scored, self.contrast)

    def rollouts(self) -> list[Rollout]:
        """All fresh rollouts of the step, whatever became of them."""
        return [rollout for settled in self.settled for rollout in settled.scored.group.rollouts]

    def fates(self) -> Counter[Fate]:
        return Counter(settled.fate for settled in self.settled)

    def metrics(self) -> dict[str, float | None]:
        """Metrics of this step's rollouts, outcomes and fates, and apart from them of what it replays."""
        groups, rollouts = [settled.scored.group for settled in self.settled], self.rollouts()
        scores = [score for settled in self.settled for score in settled.scored.scores]
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
            "groups/rolled": len(groups),
            **{f"groups/{fate}": fates[fate] for fate in Fate if fate is not Fate.ROLLED_BACK},
            "select/effective_ratio": fates[Fate.TRAINED] / len(groups),
            "select/difficulty_mean": None if mean is None else 1 - mean,
            **_replay_metrics(self.step, self.replayed),
        }

    def sequences(self) -> list[TrainingSequence]:
        """What the learner sees: one sequence per scored rollout of every group with signal, fresh or replayed."""
        return [sequence for update in self.updates(1) for sequence in update]

    def updates(self, count: int) -> list[list[TrainingSequence]]:
        """The same sequences in order, cut into ``count`` parts for one optimizer step each.

        Groups stay whole, so that the advantages of each part sum to zero: a part never pushes all of its rollouts up
        or down. Parts differ by at most one group; with fewer groups than parts, each group is one.
        """
        groups = self._sequences_by_group()
        count = min(count, len(groups))
        parts = [groups[len(groups) * n // count : len(groups) * (n + 1) // count] for n in range(count)]
        return [[sequence for group in part for sequence in group] for part in parts]

    def _sequences_by_group(self) -> list[list[TrainingSequence]]:
        if not (groups := self.learned):
            return []
        kept = [_scored_rollouts(scored) for scored in groups]
        advantages = self.advantage([np.array([reward for _, reward in pairs], np.float32) for pairs in kept])
        return [
            [_sequence(scored.group, rollout, value) for (rollout, _), value in zip(pairs, values, strict=True)]
            for scored, pairs, values in zip(groups, kept, advantages, strict=True)
        ]


def fate_of(scored: ScoredGroup, contrast: bool = True) -> Fate:
    """Dropped or parked by the labeller, failed (fewer than half of the rollouts scored), filtered (no contrast) or
    trained.

    The filter reads outcomes, not shaped rewards: a length penalty must not make a signal where there is none.
    """
    if scored.judged.decision is not Decision.USE:
        return Fate.DROPPED if scored.judged.decision is Decision.DROP else Fate.PARKED
    outcomes = [score.outcome for score in scored.scores if score.outcome is not None]
    if 2 * len(outcomes) < len(scored.scores) or len(outcomes) < 2:
        return Fate.FAILED
    return Fate.FILTERED if contrast and len(set(outcomes)) == 1 else Fate.TRAINED


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


def _scored_rollouts(scored: ScoredGroup) -> list[tuple[Rollout, float]]:
    pairs = zip(scored.group.rollouts, scored.scores, strict=True)
    return [(rollout, score.reward) for rollout, score in pairs if score.reward is not None]


def _sequence(group: Group, rollout: Rollout, advantage: np.float32) -> TrainingSequence:
    return TrainingSequence(
        ids=np.concatenate([group.prompt_ids, rollout.token_ids]),
        prompt_length=len(group.prompt_ids),
        logprobs=rollout.logprobs,
        advantages=np.full(len(rollout.token_ids), advantage, np.float32),
    )
