"""Policy losses as a user may write them, good and bad."""

import torch


def reinforce(tokens):
    """No ratio and no clip."""
    return tokens.advantages * tokens.logprobs, torch.zeros_like(tokens.mask, dtype=torch.bool)


def far_only(tokens):
    """A surrogate that is not a number where no token stands."""
    ratio = torch.exp(tokens.logprobs - tokens.old)
    return ratio * tokens.advantages / tokens.mask, torch.zeros_like(tokens.mask, dtype=torch.bool)


def mean(tokens):
    surrogates, clipped = reinforce(tokens)
    return surrogates.mean(), clipped


def not_finite(tokens):
    surrogates, clipped = reinforce(tokens)
    return surrogates * float("nan"), clipped


def without_gradient(tokens):
    surrogates, clipped = reinforce(tokens)
    return surrogates.detach(), clipped


def only_surrogates(tokens):
    return reinforce(tokens)[0]


def failing(tokens):
    return 1 / 0


def couples_rows(tokens):
    """Of another micro-batch every token would have another surrogate."""
    surrogates, clipped = reinforce(tokens)
    return surrogates / tokens.mask.sum(), clipped
