"""What a batch becomes for the learner: the rewards of its groups, then sequences with advantages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from effrl.types import Float32, Int32


@dataclass(frozen=True, slots=True)
class TokenRewards:
    """Process rewards of one rollout.

    Example: of three tokens, in two steps: ``TokenRewards(values [0, 0.3, -0.1], ends [False, True, True])``.
    """

    values: Float32
    """[T] reward of each token."""
    ends: NDArray[np.bool_] | None = None
    """[T] tokens at which a step ends and its reward stands; the values of all others are 0. None: every token has a
    reward of its own."""

    @property
    def mean(self) -> float:
        """Of the tokens that have a reward; 0 where there is none."""
        count = len(self.values) if self.ends is None else int(self.ends.sum())
        return float(self.values.sum(dtype=np.float64)) / max(1, count)


@dataclass(frozen=True, slots=True)
class ProcessReward:
    """Process rewards of one step's groups."""

    groups: Mapping[str, Sequence[TokenRewards]] = field(default_factory=dict)
    """By group id, for each of its rollouts; of no group where there are no such rewards."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What was measured on the way, for the row of the step."""
    pieces: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    """By group id, the text of each token of each rollout: of the few groups whose rewards people are to see."""


@dataclass(frozen=True, slots=True)
class GroupRewards:
    """The rewards of one group, as an estimator of advantages sees them; rollouts without a score are left out.

    Example: two rollouts of three tokens and one, the first right: ``GroupRewards(outcome [1, 0], lengths (3, 1))``.
    """

    outcome: Float32
    """[N] reward of each rollout as a whole: its outcome (or soft value) plus ``reward.terms``."""
    lengths: tuple[int, ...]
    """Sampled tokens T_i of each rollout."""
    tokens: tuple[TokenRewards, ...] | None = None
    """Process rewards of each rollout's tokens; None where there are none."""


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


def entropy_weights(logprobs: Sequence[Float32]) -> list[float]:
    """What each rollout of a step counts: its mean token entropy in units of the step's mean (PREPO, arXiv 2511.00794).

    The entropy of a rollout is estimated by its sampled tokens, as -mean of their behaviour log-probs, which is
    unbiased at temperature 1. Weights have mean 1; all are 1 where every token was certain. Example: entropies of 0.2,
    0.4 and 0.6 nats become 0.5, 1 and 1.5.

    Args:
        logprobs: of each rollout, [T_i].
    """
    entropies = np.array([-row.sum(dtype=np.float64) / max(1, len(row)) for row in logprobs])
    mean = entropies.mean()
    weights: list[float] = (entropies / mean if mean > 0 else np.ones(len(entropies))).tolist()
    return weights
