"""REINFORCE with a clipped importance weight."""

import torch
from torch import Tensor

from effrl.loss.tokens import Tokens


def cispo(tokens: Tokens, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """Clip the weight of a token and not its gradient: ``sg(clip(ratio)) A log pi`` (arXiv 2506.13585, eq. 4 and 5).

    Every token keeps a gradient. The rare words at which reasoning turns have large ratios after an update, and the
    clipped surrogate drops them.

    Returns:
        [B, T] surrogates, to be maximised, and [B, T] whether a token's weight was clipped.
    """
    ratio = torch.exp(tokens.logprobs.detach() - tokens.old)
    weight = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    return weight * tokens.advantages * tokens.logprobs, weight != ratio
