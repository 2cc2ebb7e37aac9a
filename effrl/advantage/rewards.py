"""Rewards of tokens, for estimators that know no others."""

import numpy as np

from effrl.sequences import GroupRewards
from effrl.types import Float32


def token_rewards(group: GroupRewards) -> list[Float32]:
    """[T_i] rewards of each rollout's tokens: its process rewards, and at the last token the outcome besides.

    Example: an outcome of 1 and process rewards 0.1, 0.2 give 0.1, 1.2; without process rewards 0, 1.
    """
    process = [tokens.values for tokens in group.tokens] if group.tokens else [_none(n) for n in group.lengths]
    return [_with_outcome(tokens, outcome) for tokens, outcome in zip(process, group.outcome, strict=True)]


def _none(length: int) -> Float32:
    return np.zeros(length, np.float32)


def _with_outcome(tokens: Float32, outcome: np.float32) -> Float32:
    rewards = tokens.copy()
    rewards[-1:] += outcome  # a rollout without tokens has nothing to reward
    return rewards
