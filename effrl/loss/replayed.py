"""The clipped surrogate for tokens that an older policy sampled (DOTS + RR, arXiv 2506.05316, section 4.4).

``behaviour`` are the log-probs of the policy that sampled, ``old`` those of the learner before the step, and
``w = pi_old / pi_behaviour`` is how far the policy has moved in between; fresh tokens have w = 1, but for the gap
between engine and learner.
"""

from dataclasses import replace
from math import log
from typing import Literal

import torch
from torch import Tensor

from effrl.loss.clipped import clipped
from effrl.loss.tokens import Tokens

Center = Literal["old", "one"]
"""Where the interval of the clip lies: around w, as in the paper's released code, or around 1, as in the paper.

Around 1, a replayed token that has drifted beyond the clip before the step is silent from the start of it: it can
never be pushed back."""


def replayed(
    tokens: Tokens, clip_low: float, clip_high: float, center: Center, cap: float | None = None
) -> tuple[Tensor, Tensor]:
    """``min(x A, clip(x, c (1 - clip_low), c (1 + clip_high)) A)`` with ``x = w pi / pi_old = pi / pi_behaviour``.

    With ``center="old"``, c is w, and this is w times the surrogate of :func:`effrl.loss.clipped.clipped`. With
    ``center="one"``, c is 1, and this is that surrogate with the behaviour policy for the old one. For fresh tokens,
    whose w is 1, both are the ordinary surrogate to the last bit.

    Args:
        tokens: of one micro-batch.
        clip_low: share of c below which the ratio is held.
        clip_high: share of c above which it is held.
        center: where the interval lies.
        cap: largest w; a larger one counts as this. None: as large as it is.

    Returns:
        [B, T] surrogates, to be maximised, and [B, T] whether the clip took a token's gradient.
    """
    moved = _moved(tokens)
    if cap is not None:
        moved = moved.clamp(max=log(cap))
    if center == "one":
        return clipped(replace(tokens, old=tokens.old - moved), clip_low, clip_high)
    surrogate, was_clipped = clipped(tokens, clip_low, clip_high)
    return torch.exp(moved) * surrogate, was_clipped


def importance_sums(tokens: Tokens) -> dict[str, Tensor]:
    """Of the micro-batch's tokens: sum and largest of w, and the sum of its squares.

    Sums add up over micro-batches and ranks, the largest is the largest of them; then :func:`effective_sample_size`
    follows.
    """
    found = torch.exp(_moved(tokens)) * tokens.mask
    return {"weight": found.sum(), "weight_squared": found.square().sum(), "weight_max": found.max()}


def effective_sample_size(weight: float, weight_squared: float) -> float:
    """``(sum w)² / sum w²``: as many equally weighted tokens would vary as little; 0 without tokens."""
    return weight * weight / weight_squared if weight_squared > 0 else 0.0


def _moved(tokens: Tokens) -> Tensor:
    """[B, T] log w, without gradient, and 0 outside the mask, where it could be anything and overflow."""
    return ((tokens.old - tokens.behaviour) * tokens.mask).detach()
