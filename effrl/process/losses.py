"""How an implicit PRM learns: a classifier whose logit is a log-ratio of language models."""

import torch
from torch import Tensor


def prm_losses(logratios: Tensor, mask: Tensor, target: Tensor, shift: Tensor, beta: float) -> Tensor:
    """[B] cross-entropies of ``sigmoid(beta sum_t log-ratio - shift)`` with the targets.

    The sum is over the sampled tokens alone and is not divided by their number (PRIME, arXiv 2502.01456, eq. 4). With
    targets 0 and 1 and the others' mean reward as shift it is the detached preference loss
    ``-log sigmoid(s (Q - O))`` with s = +1 or -1. Computed from the logit: a sigmoid that is rounded to 0 or 1 would
    have no logarithm.

    Args:
        logratios: [B, L] log-probs of the PRM less those of the reference; float32 at least.
        mask: [B, L] 1 where a sampled token stands; what stands elsewhere does not matter.
        target: [B] in [0, 1].
        shift: [B] in units of rewards, without gradient.
    """
    sums = logratios.masked_fill(mask == 0, 0.0).sum(1)
    return torch.nn.functional.binary_cross_entropy_with_logits(beta * sums - shift, target, reduction="none")
