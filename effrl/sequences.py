"""What a batch becomes for the learner: the rewards of its groups, then sequences with advantages."""

from collections.abc import Sequence
from dataclasses import dataclass

from effrl.types import Float32, Int32


@dataclass(frozen=True, slots=True)
class GroupRewards:
    """The rewards of one group, as an estimator of advantages sees them; rollouts without a score are left out.

    Example: two rollouts of three tokens and one, the first right: ``GroupRewards(outcome [1, 0], lengths (3, 1))``.
    """

    outcome: Float32
    """[N] reward of each rollout as a whole: its outcome (or soft value) plus ``reward.terms``."""
    lengths: tuple[int, ...]
    """Sampled tokens T_i of each rollout."""
    tokens: tuple[Float32, ...] | None = None
    """[T_i] process rewards of each rollout's tokens; None where there are none."""


@dataclass(frozen=True, slots=True)
class TrainingSequence:
    """One rollout as the learner sees it.

    Example: ``TrainingSequence(ids [P + T], prompt_length P, logprobs [T], advantages [T])``.
    """

    ids: Int32
    """[P + T] prompt tokens, then sampled tokens."""
    prompt_length: int
    logprobs: Float32
    """[T] behaviour log-probs."""
    advantages: Float32
    """[T] the estimator's advantage of each sampled token; with a value function, its reward, and the learner
    estimates."""
    weight: float = 1.0
    offset: float = 0.0
    """The learner makes ``weight * (advantages + offset)`` of what was estimated."""
    silent: bool = False
    """Whether it has a part in the mean and in the KL term alone: its group has no signal, or was dropped."""

    old: Float32 | None = None
    """[T] log-probs by the policy before the first update of its step, where they are known already."""

    def __post_init__(self) -> None:
        sampled = len(self.ids) - self.prompt_length
        assert len(self.logprobs) == len(self.advantages) == sampled


@dataclass(frozen=True, slots=True)
class Portion:
    """What a step has for one optimizer step: whole groups."""

    learned: Sequence[TrainingSequence]
    """Of groups with signal."""
    silent: Sequence[TrainingSequence] = ()
    """Of the other groups that were sampled."""
