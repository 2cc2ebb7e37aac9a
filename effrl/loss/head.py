"""Log-probs of tokens from hidden states, without ever holding the logits of all of them.

A vocabulary of 152k tokens makes 0.6 MB of logits a token in float32, and training holds several copies: for 16k tokens
more than the model and its optimizer. Only a slice of tokens has logits at a time; the backward pass makes them anew.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from effrl.learn.packing import LOGITS


def token_scores(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    tokens: Tensor,
    logits: int = LOGITS,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Log-probs of tokens under the distributions that a linear head makes of hidden states.

    Args:
        hidden: [N, H] hidden states.
        weight: [V, H] of the head, or tied to the embeddings.
        bias: [V], or none.
        tokens: [N] the token that each hidden state is asked about.
        logits: how many may exist at a time; no result depends on it but in the last bits.
        temperature: what logits are divided by, as the engine does when it samples: other log-probs are not those of
            the policy that acted.

    Returns:
        [N] log-probs in nats, with gradient; and [N] entropies in nats, without. Both have at least float32.
    """
    rows = max(1, logits // len(weight))
    scores: tuple[Tensor, Tensor] = _TokenScores.apply(hidden, weight, bias, tokens, rows, temperature)  # type: ignore[no-untyped-call]
    return scores


class _TokenScores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, tokens: Tensor, rows: int, temperature: float
    ) -> tuple[Tensor, Tensor]:
        precise = torch.promote_types(hidden.dtype, torch.float32)
        logprobs, entropy, normaliser = (hidden.new_zeros(len(hidden), dtype=precise) for _ in range(3))
        for part in _slices(len(hidden), rows):
            logits = _logits(hidden[part], weight, bias, temperature)
            normaliser[part] = logits.logsumexp(-1)
            logits -= normaliser[part, None]
            logprobs[part] = logits.gather(-1, tokens[part, None]).squeeze(-1)
            entropy[part] = torch.special.entr(logits.exp_()).sum(-1)
        ctx.save_for_backward(hidden, weight, bias, tokens, normaliser)
        ctx.rows, ctx.temperature = rows, temperature
        ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """The slope of a log-prob by the logits is the token's one-hot vector minus the distribution."""
        slope = slope / ctx.temperature
        hidden, weight, bias, tokens, normaliser = ctx.saved_tensors
        of_hidden, of_weight, of_bias = ctx.needs_input_grad[:3]
        grad_hidden = torch.zeros_like(hidden) if of_hidden else None
        # In bfloat16 the sum over thousands of slices would lose the small ones.
        grad_weight = torch.zeros_like(weight, dtype=normaliser.dtype) if of_weight else None
        grad_bias = torch.zeros_like(bias, dtype=normaliser.dtype) if of_bias else None
        for part in _slices(len(hidden), ctx.rows):
            grad = (
                _logits(hidden[part], weight, bias, ctx.temperature)
                .sub_(normaliser[part, None])
                .exp_()
                .mul_(-slope[part, None])
            )
            grad.scatter_add_(-1, tokens[part, None], slope[part, None])
            narrow = grad.to(weight.dtype)
            if grad_hidden is not None:
                grad_hidden[part] = narrow @ weight
            if grad_weight is not None:
                grad_weight += narrow.T @ hidden[part]
            if grad_bias is not None:
                grad_bias += grad.sum(0)
        return (
            grad_hidden,
            None if grad_weight is None else grad_weight.to(weight.dtype),
            None if grad_bias is None else grad_bias.to(bias.dtype),
            None,
            None,
            None,
        )


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float) -> Tensor:
    logits = torch.nn.functional.linear(hidden, weight, bias)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits if temperature == 1.0 else logits.div_(temperature)


def _slices(length: int, rows: int) -> Iterator[slice]:
    return (slice(start, start + rows) for start in range(0, length, rows))
