"""The learner's model: a causal language model that answers with log-probs of tokens, never with logits."""

from typing import Any

import torch
from torch import Tensor, nn

from effrl.errors import UserError
from effrl.loss.head import token_scores


class Scorer(nn.Module):
    """Backbone and head; ``language_model`` keeps the names of the Hugging Face checkpoint.

    A value head sits beside it, on the same hidden states: it is trained and checkpointed, and never published.
    """

    def __init__(self, language_model: Any, value_head: bool = False) -> None:
        super().__init__()
        _check_plain_head(language_model)
        self.language_model = language_model
        self.head = _Head(language_model.get_output_embeddings())
        self.value_head = _value_head(language_model) if value_head else None

    def forward(
        self, ids: Tensor, attention: Tensor, wanted: Tensor, temperature: float = 1.0, states: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Log-probs and entropies [B, L] of the tokens given those before them; 0 where not ``wanted``.

        With a value head also the values [B, L] of what stands before each token. Tensors are [B, L]; logits are
        divided by the temperature. The first token of a row has no distribution, and stays 0. With ``states`` [B, K]
        the hidden states [B, K, H] of the tokens at these places come last.
        """
        every = self.language_model.base_model(input_ids=ids, attention_mask=attention, use_cache=False)[0]
        hidden = every[:, :-1]
        chosen = wanted[:, 1:] > 0
        scores = list(self.head(hidden[chosen], ids[:, 1:][chosen], temperature))
        if self.value_head is not None:
            scores.append(self.value_head(hidden[chosen]).squeeze(-1).to(scores[0].dtype))
        blank = torch.zeros(chosen.shape, dtype=scores[0].dtype, device=ids.device)
        found = tuple(nn.functional.pad(blank.masked_scatter(chosen, score), (1, 0)) for score in scores)
        return found if states is None else (*found, every[torch.arange(len(ids))[:, None], states])


class _Head(nn.Module):
    """Shares the output layer's parameters: ZeRO-3 gathers a module's own when it is called, once for all slices."""

    def __init__(self, output: nn.Linear) -> None:
        super().__init__()
        self.weight = output.weight
        self.bias = output.bias

    def forward(self, hidden: Tensor, tokens: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        return token_scores(hidden, self.weight, self.bias, tokens, temperature=temperature)


def _value_head(language_model: Any) -> nn.Linear:
    """It starts at 0 everywhere: the first advantages are the returns."""
    output = language_model.get_output_embeddings().weight
    head = nn.Linear(output.shape[1], 1, dtype=output.dtype, device=output.device)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


@torch.no_grad()
def _check_plain_head(language_model: Any) -> None:
    """Some models scale or cap their logits after the head; their log-probs cannot be taken from the head alone."""
    ids = torch.arange(8)[None]  # more than one: the embedding of padding is 0, and so are its logits
    hidden = language_model.base_model(input_ids=ids, use_cache=False)[0]
    expected = language_model(input_ids=ids, use_cache=False).logits
    if not torch.equal(language_model.get_output_embeddings()(hidden), expected):
        raise UserError(
            f"{type(language_model).__name__} changes its logits after the output layer (a scale or a soft cap), which"
            " the learner does not support: choose another model.path"
        )
