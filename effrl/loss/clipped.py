"""The clipped surrogate with a truncated importance weight between engine and learner."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ClippedLossOutput:
    """Sums over tokens, so that any cut into micro-batches adds up to the same."""

    loss_sum: Tensor
    """Scalar; divide by the tokens of the whole optimizer step."""
    clipped: Tensor
    """Scalar: tokens whose ratio was clipped."""
    truncated: Tensor
    """Scalar: tokens whose importance weight hit the cap."""


def clipped_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    behaviour_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip_low: float,
    clip_high: float,
    tis_cap: float,
) -> ClippedLossOutput:
    """PPO's clipped objective (arXiv 1707.06347, eq. 7) with separate clips (DAPO, arXiv 2503.14476, eq. 10).

    Each token is weighted by ``min(pi_old / pi_behaviour, tis_cap)``, without gradient: the engine that sampled and
    the learner that differentiates never agree to the last bit, and uncorrected the gap biases the gradient
    (truncated importance sampling; Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy
    RL training").

    Args:
        logprobs: [B, T] of the policy being learned, with gradient.
        old_logprobs: [B, T] of the learner's policy before the step.
        behaviour_logprobs: [B, T] of the engine's policy that sampled.
        advantages: [B, T].
        mask: [B, T], 1 where a sampled token stands.
    """
    ratio = torch.exp(logprobs - old_logprobs)
    limited = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    surrogate = torch.minimum(ratio * advantages, limited * advantages)
    importance = torch.exp(old_logprobs - behaviour_logprobs).detach()
    loss_sum = -(importance.clamp(max=tis_cap) * surrogate * mask).sum()
    clipped = ((limited * advantages < ratio * advantages) * mask).sum()
    truncated = ((importance > tis_cap) * mask).sum()
    return ClippedLossOutput(loss_sum, clipped, truncated)
