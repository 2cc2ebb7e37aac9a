"""Leave-one-out advantages."""

import numpy as np

from effrl.types import Float32


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
    exact = rewards.astype(np.float64)  # in float32, the rounding of a mean of equal rewards would pass for a signal
    return np.asarray((exact - exact.mean()) * (len(exact) / (len(exact) - 1)), np.float32)
