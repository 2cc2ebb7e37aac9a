"""The clipped surrogate, token by token."""

import torch
from torch import Tensor

from effrl.loss.tokens import Tokens


def clipped(tokens: Tokens, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """PPO's clipped objective (arXiv 1707.06347, eq. 7) with separate clips (DAPO, arXiv 2503.14476, eq. 10).

    Returns:
        [B, T] surrogates, to be maximised, and [B, T] whether the clip took a token's gradient.
    """
    return _limited(torch.exp(tokens.logprobs - tokens.old), tokens.advantages, clip_low, clip_high)


def clipped_around_one(tokens: Tokens, weight: Tensor, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """The same of weight x ``pi / pi_old`` (DOTS + RR, arXiv 2506.05316, section 4.4).

    The paper's ratio is ``pi / pi_behaviour``, which this is as long as the weight was not cut. With a weight of 1, as
    fresh tokens have it but for the gap between engine and learner, it is :func:`clipped`.

    Args:
        weight: [B, T] importance weights, with ``truncate`` ``min(pi_old / pi_behaviour, tis_cap)``; a token of weight
            0 counts not at all.

    Returns:
        As :func:`clipped`; the weight is in the surrogates.
    """
    ratio = weight * torch.exp(tokens.logprobs - tokens.old)
    surrogate, was_clipped = _limited(ratio, tokens.advantages, clip_low, clip_high)
    return surrogate * (weight > 0), was_clipped & (weight > 0)


def _limited(ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    limited = ratio.clamp(1.0 - clip_low, 1.0 + clip_high) * advantages
    return torch.minimum(ratio * advantages, limited), limited < ratio * advantages
