"""Leave-one-out advantages."""

import numpy as np

from effrl.types import Float32, Float64


def rloo_advantages(rewards: Float32) -> Float32:
    """Each reward minus the mean of the others: ``R_i - sum_{j != i} R_j / (N - 1)``.

    RLOO (arXiv 2402.14740, section "REINFORCE Leave-One-Out"): a baseline that does not depend on the rollout itself
    leaves the gradient unbiased. It is N / (N - 1) times Dr. GRPO's advantage, which is how it is computed: equal
    rewards then give zeros, to the bit.

    Args:
        rewards: [N] rewards of one group, N >= 2.

    Returns:
        [N] advantages; they sum to zero.
    """
    return np.asarray(leave_one_out_of(rewards), np.float32)


def leave_one_out_of(rewards: Float32) -> Float64:
    """The same, in float64, for estimators that add to it."""
    exact = rewards.astype(np.float64)  # in float32, the rounding of a mean of equal rewards would pass for a signal
    centred: Float64 = (exact - exact.mean()) * (len(exact) / (len(exact) - 1))
    return centred
