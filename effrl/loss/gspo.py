"""The clipped surrogate of whole sequences."""

import torch
from torch import Tensor

from effrl.loss.tokens import Tokens


def gspo(tokens: Tokens, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """Clip a sequence as a whole, by the geometric mean of its tokens' ratios (GSPO, arXiv 2507.18071, eq. 7).

    It is the token-wise form (eq. 13 and 14): each token's ratio has the value of its sequence's, and the gradient of
    its own log-prob. With one advantage for all tokens of a sequence, their mean has the value and the gradient of
    eq. 5, so ``loss.reduce=sequence`` is the paper's objective; and advantages may differ from token to token.

    Returns:
        [B, T] surrogates, to be maximised, and [B, T] whether the clip took a token's gradient.
    """
    difference = (tokens.logprobs.detach() - tokens.old) * tokens.mask
    lengths = tokens.mask.sum(1, keepdim=True).clamp(min=1)  # a row without weight has none
    mean = difference.sum(1, keepdim=True) / lengths
    ratio = torch.exp(mean + (tokens.logprobs - tokens.logprobs.detach()))  # the bracket is 0: it carries the gradient
    limited = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    surrogate = torch.minimum(ratio * tokens.advantages, limited * tokens.advantages)
    return surrogate, limited * tokens.advantages < ratio * tokens.advantages
