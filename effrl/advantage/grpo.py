"""Group-relative advantages."""

from typing import Literal

import numpy as np

from effrl.types import Float32

EPSILON = 1e-6


def grpo_advantages(rewards: Float32, std: Literal["sample", "none"]) -> Float32:
    """Rewards minus their mean, divided by their sample standard deviation plus 1e-6, or not divided.

    ``std="sample"`` is GRPO (arXiv 2402.03300, section 4.1.2: outcome supervision); ``std="none"`` is Dr. GRPO
    (arXiv 2503.20783, section 3.2), which removes the bias towards very easy and very hard prompts.

    Args:
        rewards: [N] rewards of one group, N >= 2.

    Returns:
        [N] advantages; they sum to zero.
    """
    exact = rewards.astype(np.float64)  # in float32, the rounding of a mean of equal rewards would pass for a signal
    centred = exact - exact.mean()
    if std == "none":
        return np.asarray(centred, np.float32)
    return np.asarray(centred / (exact.std(ddof=1) + EPSILON), np.float32)
