"""The clipped surrogate, token by token."""

import torch
from torch import Tensor

from effrl.loss.tokens import Tokens


def clipped(tokens: Tokens, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """PPO's clipped objective (arXiv 1707.06347, eq. 7) with separate clips (DAPO, arXiv 2503.14476, eq. 10).

    Returns:
        [B, T] surrogates, to be maximised, and [B, T] whether the clip took a token's gradient.
    """
    ratio = torch.exp(tokens.logprobs - tokens.old)
    limited = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    surrogate = torch.minimum(ratio * tokens.advantages, limited * tokens.advantages)
    return surrogate, limited * tokens.advantages < ratio * tokens.advantages
