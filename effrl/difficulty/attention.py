"""Attention over a reference set: a prompt's pass rate as a mixture of the rates measured on its references."""

from math import sqrt

import torch
from torch import Tensor


def attend(queries: Tensor, references: Tensor, rates: Tensor, hidden: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention whose values are pass rates (DOTS, arXiv 2506.05316, section 4.2).

    With raw embeddings on both sides it is the paper's untrained baseline.

    Args:
        queries: [n, h].
        references: [K, h].
        rates: [K], or [n, K] where each query has its own policy's.
        hidden: [n, K] true where a query may not see a reference; one that may see none gets the mean of all rates.

    Returns:
        [n] convex combinations of the rates.
    """
    scores = queries @ references.T / sqrt(queries.shape[1])
    if hidden is not None:
        blind = hidden.all(1, keepdim=True)  # a softmax over nothing would be NaN
        scores = scores.masked_fill(hidden & ~blind, -torch.inf).masked_fill(blind, 0.0)
    weights = torch.softmax(scores, 1)
    return weights @ rates if rates.dim() == 1 else (weights * rates).sum(1)
