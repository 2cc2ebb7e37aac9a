"""Generalized advantage estimation, and the loss of the value function that it needs (PPO)."""

import torch
from torch import Tensor


@torch.no_grad()
def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Advantages and returns of every sampled token (arXiv 1506.02438, eq. 16).

    ``delta_t = r_t + gamma V_{t+1} - V_t`` and ``A_t = delta_t + gamma lam A_{t+1}``, with V and A zero after the last
    sampled token: a completion that was cut off counts as ended, as its outcome does. With ``gamma = lam = 1`` the
    advantage is the rewards still to come, less the value.

    Args:
        rewards: [B, L]; each token's own.
        values: [B, L]; the value at t is that of the state *before* token t was sampled.
        mask: [B, L]; 1 where a sampled token stands; they are contiguous in each row. What stands elsewhere in the
            other tensors does not matter.

    Returns:
        Advantages and returns (advantage plus value), [B, L] each, 0 outside the mask.
    """
    inside = mask.bool()
    rewards, values = rewards.masked_fill(~inside, 0.0), values.masked_fill(~inside, 0.0)
    following = torch.nn.functional.pad(values[:, 1:], (0, 1))
    deltas = (rewards + gamma * following - values).masked_fill(~inside, 0.0)
    advantages = discounted_sums(deltas, gamma * lam).masked_fill(~inside, 0.0)
    return advantages, advantages + values


def discounted_sums(terms: Tensor, factor: float) -> Tensor:
    """[B, L] ``y_t = sum_k factor^k x_{t+k}`` of each row, for a factor in [0, 1].

    By doubling: from sums of the next n terms follow those of the next 2n, so that it takes log2(L) passes over the
    whole tensor instead of L steps.
    """
    sums, reach = terms, 1
    while reach < terms.shape[1]:
        sums = sums + factor**reach * torch.nn.functional.pad(sums[:, reach:], (0, reach))
        reach *= 2
    return sums


def value_loss(values: Tensor, old: Tensor, returns: Tensor, clip: float) -> Tensor:
    """[B, L] losses of the value function, each ``0.5 max((V - R)^2, (clipped V - R)^2)``.

    The clipped value is within ``clip`` of the old one: PPO's implementation, after which a value function that the
    batch would throw far off moves step by step (Engstrom et al., arXiv 2005.12729, section 3, item 1).
    """
    clipped = old + (values - old).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns).square(), (clipped - returns).square())
