"""Advantages that are normalised over the whole step."""

from collections.abc import Sequence

import numpy as np

from effrl.types import Float32

EPSILON = 1e-6


def reinforce_pp_advantages(rewards: Sequence[Float32]) -> list[Float32]:
    """Rewards minus their group's mean, divided by the standard deviation of these differences over the whole step.

    REINFORCE++ with baseline (arXiv 2501.03262, "REINFORCE++ w/ Baseline"). Exactly, for group g and rollout i::

        d_gi = R_gi - mean_j R_gj
        A_gi = d_gi / (sqrt(mean_{g,i} d_gi^2) + 1e-6)

    The statistics are over *sequences*, each counted once whatever its length, and over the groups that are trained
    on. The paper also subtracts the batch's mean; over sequences it is zero, since each group's differences sum to
    zero. Unlike GRPO's, the scale is one for all groups, so it favours neither very easy nor very hard prompts. The
    paper's KL penalty is not part of the reward here: see ``loss.kl``.

    Args:
        rewards: [N] rewards of each group; at least one group, N >= 2.

    Returns:
        [N] advantages of each group; they sum to zero. All groups without signal: zeros.
    """
    exact = [group.astype(np.float64) for group in rewards]
    centred = [group - group.mean() for group in exact]
    scale = np.sqrt(np.mean(np.concatenate(centred) ** 2)) + EPSILON
    return [np.asarray(group / scale, np.float32) for group in centred]
