"""From a config's ``loss`` section to the surrogate that it names."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from effrl import plugins
from effrl.config.loss import AnyLoss, CispoLoss, Clip, ClippedLoss, GspoLoss, PluginLoss
from effrl.errors import RunError, one_line
from effrl.loss.cispo import cispo
from effrl.loss.clipped import clipped, clipped_around_one
from effrl.loss.gspo import gspo
from effrl.loss.tokens import PolicyLoss, Tokens


def surrogate(config: AnyLoss, clip: Clip) -> Callable[[Tokens, Tensor], tuple[Tensor, Tensor]]:
    """What is made of tokens and their importance weights [B, T]: surrogates with the weight in them, and clipped ones.

    Raises:
        UserError: a loss of the user's own cannot be loaded.
    """
    match config:
        case ClippedLoss() if clip == "paper":
            return partial(clipped_around_one, clip_low=config.clip_low, clip_high=config.clip_high)
        case ClippedLoss():
            return partial(_weighted, partial(clipped, clip_low=config.clip_low, clip_high=config.clip_high))
        case GspoLoss():
            return partial(_weighted, partial(gspo, clip_low=config.clip_low, clip_high=config.clip_high))
        case CispoLoss():
            return partial(_weighted, partial(cispo, clip_low=config.clip_low, clip_high=config.clip_high))
        case PluginLoss(kind=kind):
            return partial(_weighted, _checked(kind, plugins.load("loss.kind", kind)))


def _weighted(loss: PolicyLoss, tokens: Tokens, weight: Tensor) -> tuple[Tensor, Tensor]:
    found, was_clipped = loss(tokens)
    return weight * found, was_clipped


def _checked(kind: str, loss: PolicyLoss) -> PolicyLoss:
    """A NaN would ruin the model for good, and a mean would make the gradient depend on the cut: both end the run."""

    def checked(tokens: Tokens) -> tuple[Tensor, Tensor]:
        try:
            found, was_clipped = loss(tokens)
            shapes = [tuple(part.shape) for part in (found, was_clipped)]
        except Exception as error:  # the function is the user's: it can raise anything
            raise RunError(f"loss.kind {kind!r} failed: {one_line(error)}") from error
        expected, inside = tuple(tokens.mask.shape), tokens.mask > 0
        if shapes != [expected] * 2:
            raise RunError(f"loss.kind {kind!r} returned shapes {shapes} for tokens of shape {expected}")
        if not torch.isfinite(found[inside]).all():
            raise RunError(f"loss.kind {kind!r} returned surrogates that are not finite")
        if tokens.logprobs.requires_grad and not found.requires_grad:
            raise RunError(f"loss.kind {kind!r} returned surrogates without a gradient")
        return found.masked_fill(~inside, 0.0), was_clipped

    return checked
