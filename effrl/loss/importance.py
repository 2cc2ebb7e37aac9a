"""Importance weights of tokens: how much likelier the learner's policy makes a token than the policy that sampled it.

``behaviour`` are the log-probs of the policy that sampled, ``old`` those of the learner before the step, and
``w = pi_old / pi_behaviour``. Whatever lies in between is one gap: that of engine and learner, of a rollout that ran
ahead, of a group that is replayed.
"""

import torch
from torch import Tensor

from effrl.config.loss import LossConfig
from effrl.loss.tokens import Tokens


def importance(gap: Tensor, config: LossConfig) -> tuple[Tensor, Tensor]:
    """Importance weights [B, T] of tokens that another policy sampled than the one that learns, and which were cut.

    The engine that sampled and the learner that differentiates never agree to the last bit, and rollouts that ran
    ahead or are replayed are from an older version; uncorrected, either gap biases the gradient. ``truncate``:
    ``min(ratio, tis_cap)`` (Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training").
    ``mask``: 0 outside ``[tis_floor, tis_cap]`` (Ling team, arXiv 2510.18855, IcePop), so that tokens which the learner
    finds far less likely than the engine did teach nothing either.

    Args:
        gap: log-probs [B, T] of the policy before the update, less those of the policy that sampled.
        config: has cap, floor, and what becomes of tokens beyond them.
    """
    ratio = torch.exp(gap).detach()
    if config.beyond_cap == "truncate":
        return ratio.clamp(max=config.tis_cap), ratio > config.tis_cap
    outside = (ratio > config.tis_cap) | (ratio < config.tis_floor)
    return ratio.masked_fill(outside, 0.0), outside


def importance_sums(tokens: Tokens) -> dict[str, Tensor]:
    """Of the micro-batch's tokens: sum and largest of w before any cut, and the sum of its squares.

    Sums add up over micro-batches and ranks, the largest is the largest of them; then :func:`effective_sample_size`
    follows. What stands outside the mask could be anything, and overflow.
    """
    gap = (tokens.old - tokens.behaviour) * tokens.mask
    weight = torch.exp(gap).detach() * tokens.mask
    return {"weight": weight.sum(), "weight_squared": weight.square().sum(), "weight_max": weight.max()}


def effective_sample_size(weight: float, weight_squared: float) -> float:
    """``(sum w)² / sum w²``: as many equally weighted tokens would vary as little; 0 without tokens."""
    return weight * weight / weight_squared if weight_squared > 0 else 0.0
