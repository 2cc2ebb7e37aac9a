"""The loss of a micro-batch, as sums: what every kind has around its surrogate."""

from typing import Literal

import torch
from torch import Tensor

from effrl.kinds import AnyLoss, Reduce
from effrl.loss.cispo import cispo
from effrl.loss.clipped import clipped
from effrl.loss.gspo import gspo
from effrl.loss.tokens import Tokens

SURROGATES = {"clipped": clipped, "gspo": gspo, "cispo": cispo}


def policy_loss(config: AnyLoss, tokens: Tokens) -> dict[str, Tensor]:
    """Sums over the tokens of a micro-batch, so that any cut into micro-batches adds up to the same.

    Each token is weighted by :func:`importance`, without gradient.

    Returns:
        Scalars. ``loss`` has the gradient: divide it by the update's denominator (:func:`effrl.packing.size_of`).
        ``policy`` is the loss without the KL term. Over tokens: ``clipped``, ``truncated`` (the importance weight was
        cut) and, with a reference, ``kl`` (:func:`k3`).
    """
    surrogate, was_clipped = SURROGATES[config.kind](tokens, config.clip_low, config.clip_high)
    correction, was_cut = importance(tokens.old - tokens.behaviour, config.tis_cap, config.beyond_cap)
    weights = token_weights(tokens.mask, config.reduce)
    policy = -(correction * surrogate * weights).sum()
    sums = {
        "loss": policy,
        "policy": policy.detach(),
        "clipped": (was_clipped * tokens.mask).sum(),
        "truncated": (was_cut * tokens.mask).sum(),
    }
    if tokens.reference is None:
        return sums
    divergence = k3(tokens.logprobs, tokens.reference, tokens.mask)
    return {**sums, "loss": policy + config.kl * (divergence * weights).sum(), "kl": divergence.detach().sum()}


def importance(gap: Tensor, cap: float, beyond: Literal["truncate", "mask"]) -> tuple[Tensor, Tensor]:
    """Importance weights [B, T] of tokens that another policy sampled than the one that learns, and which were cut.

    The engine that sampled and the learner that differentiates never agree to the last bit, and rollouts that ran
    ahead are from an older version; uncorrected, either gap biases the gradient. ``truncate``: ``min(ratio, cap)``
    (Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training"). ``mask``: 0 outside
    ``[1 / cap, cap]`` (Ling team, arXiv 2510.18855, IcePop), so that tokens which the learner finds far less likely
    than the engine did teach nothing either.

    Args:
        gap: log-probs [B, T] of the policy before the update, less those of the policy that sampled.
    """
    ratio = torch.exp(gap).detach()
    if beyond == "truncate":
        return ratio.clamp(max=cap), ratio > cap
    outside = (ratio > cap) | (ratio < 1 / cap)
    return ratio.masked_fill(outside, 0.0), outside


def token_weights(mask: Tensor, reduce: Reduce) -> Tensor:
    """[B, T] weights of a sum over tokens: 1, or with ``sequence`` one by the length of the token's own sequence.

    The denominator that makes a mean of the sum is one number for the whole update (:func:`effrl.packing.size_of`).
    """
    return mask / mask.sum(1, keepdim=True).clamp(min=1) if reduce == "sequence" else mask


def k3(logprobs: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """[B, T] estimates, in nats, of KL(policy, reference) at the tokens that the policy sampled.

    The estimator k3 (arXiv 2402.03300, eq. 4): ``r - log r - 1`` with ``r = pi_reference / pi``. Never negative, and
    0 outside the mask. The mask comes before the exponential: the policy is free to move on tokens that it does not
    sample, and there r may overflow.
    """
    gap = (reference - logprobs) * mask
    return torch.expm1(gap) - gap
