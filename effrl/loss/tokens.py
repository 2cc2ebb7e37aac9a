"""What a loss reads."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one micro-batch, a sequence per row; all tensors are [B, T], log-probs in nats."""

    logprobs: Tensor
    """Of the policy that is being learned, with gradient."""
    old: Tensor
    """Of the learner's policy before the step."""
    behaviour: Tensor
    """Of the engine's policy that sampled."""
    advantages: Tensor
    mask: Tensor
    """1 where a sampled token stands."""
    reference: Tensor | None = None
    """Of the initial model; only where the loss keeps the policy near it."""
