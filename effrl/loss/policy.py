"""The loss of a micro-batch, as sums: what every kind has around its surrogate."""

import torch
from torch import Tensor

from effrl.config.loss import AnyLoss, Clip, Reduce
from effrl.loss.build import surrogate
from effrl.loss.importance import importance
from effrl.loss.tokens import Tokens


def policy_loss(config: AnyLoss, tokens: Tokens, clip: Clip = "centered") -> dict[str, Tensor]:
    """Sums over the tokens of a micro-batch, so that any cut into micro-batches adds up to the same.

    Each token is weighted by :func:`effrl.loss.importance.importance`, without gradient.

    Args:
        config: of the loss.
        tokens: of the micro-batch.
        clip: ``centered`` multiplies the surrogate by a token's weight w, which is a clip of ``w pi / pi_old`` around
            w; ``paper`` clips that around 1, for the clipped surrogate alone. ``w`` was cut before, at ``tis_cap``.

    Returns:
        Scalars. ``loss`` has the gradient: divide it by the update's denominator (:func:`effrl.learn.packing.size_of`).
        ``policy`` is the loss without the KL term. Over tokens that are learned from: ``clipped``, ``truncated`` (the
        importance weight was cut) and, with a reference, ``kl`` (:func:`k3`).

    Raises:
        RunError: a loss of the user's own failed, or returned what is not finite or has the wrong shape.
    """
    correction, was_cut = importance(tokens.old - tokens.behaviour, config)
    found, was_clipped = surrogate(config, clip)(tokens, correction)
    policy = -(found * token_weights(tokens.mask, config.reduce)).sum()
    sums = {
        "loss": policy,
        "policy": policy.detach(),
        "clipped": (was_clipped * tokens.mask).sum(),
        "truncated": (was_cut * tokens.mask).sum(),
    }
    if tokens.reference is None:
        return sums
    sampled = tokens.mask if tokens.sampled is None else tokens.sampled
    divergence = k3(tokens.logprobs, tokens.reference, sampled)
    penalty = config.kl * (divergence * token_weights(sampled, config.reduce)).sum()
    return {**sums, "loss": policy + penalty, "kl": (divergence.detach() * tokens.mask).sum()}


def token_weights(mask: Tensor, reduce: Reduce) -> Tensor:
    """[B, T] weights of a sum over tokens: 1, or with ``sequence`` one by the length of the token's own sequence.

    The denominator that makes a mean of the sum is one number for the whole update
    (:func:`effrl.learn.packing.size_of`).
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
