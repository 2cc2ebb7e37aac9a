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
    advantages = torch.zeros_like(values)
    following = next_value = torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        following = torch.where(inside[:, t], delta + gamma * lam * following, torch.zeros_like(delta))
        next_value = values[:, t]
        advantages[:, t] = following
    return advantages, (advantages + values) * mask


def at_the_end(rewards: Tensor, mask: Tensor) -> Tensor:
    """[B, L] rewards of which only the last sampled token of each row keeps its own: the outcome is known there."""
    following = torch.nn.functional.pad(mask[:, 1:], (0, 1))
    return rewards * mask * (1 - following)


def value_loss(values: Tensor, old: Tensor, returns: Tensor, clip: float) -> Tensor:
    """[B, L] losses of the value function, each ``0.5 max((V - R)^2, (clipped V - R)^2)``.

    The clipped value is within ``clip`` of the old one: PPO's implementation, after which a value function that the
    batch would throw far off moves step by step (Engstrom et al., arXiv 2005.12729, section 3, item 1).
    """
    clipped = old + (values - old).clamp(-clip, clip)
    return 0.5 * torch.maximum((values - returns).square(), (clipped - returns).square())
