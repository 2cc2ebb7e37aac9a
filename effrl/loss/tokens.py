"""What a policy loss reads, and what it returns."""

from dataclasses import dataclass
from typing import Protocol

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
    """1 where a sampled token stands that is learned from."""
    reference: Tensor | None = None
    """Of the initial model; only where the loss keeps the policy near it."""
    sampled: Tensor | None = None
    """1 where a token stands that the KL term is about; the mask where that leaves no sampled token out."""


class PolicyLoss(Protocol):
    """What a loss makes of each token of a micro-batch. Runs on the learner's ranks.

    Whatever surrounds it is the same for all: importance weights multiply its surrogates, ``loss.reduce`` and
    ``loss.over`` make the mean of them, ``loss.kl`` adds its term.
    """

    def __call__(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Return [B, T] surrogates, to be maximised, and [B, T] whether a token was clipped, for the metrics.

        A token's surrogate reads its own row at most, since any cut into micro-batches must add up to the same. The
        gradient is through ``tokens.logprobs``. What stands outside the mask does not matter.
        """
        ...
