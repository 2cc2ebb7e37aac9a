"""The learner's model: log-probs and entropies of wanted tokens as transformers has them, and heads it refuses."""

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from actors.ranks.model import Scorer
from effrl.errors import UserError
from effrl.tiny.make import new_model


def test_wanted_tokens_have_the_scores_of_the_whole_distribution() -> None:
    model = new_model().double().eval()
    ids = torch.arange(3, 27).reshape(2, 12)
    attention = torch.ones_like(ids)
    attention[1, 8:] = 0
    wanted = torch.zeros(2, 12)
    wanted[0, 5:] = wanted[1, 3:8] = wanted[1, 0] = 1  # nothing stands before the first token of a row
    logprobs, entropy = Scorer(model)(ids, attention, wanted)
    distribution = torch.log_softmax(model(input_ids=ids, attention_mask=attention).logits[:, :-1], -1)
    expected = distribution.gather(-1, ids[:, 1:, None])[..., 0] * wanted[:, 1:]
    expected_entropy = -(distribution.exp() * distribution).sum(-1) * wanted[:, 1:]
    torch.testing.assert_close(logprobs[:, 1:], expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(entropy[:, 1:], expected_entropy, rtol=0, atol=1e-12)
    assert not logprobs[:, 0].any() and not entropy[:, 0].any()


def test_hidden_states_are_those_before_the_output_layer() -> None:
    model = new_model().double().eval()
    ids, attention = torch.arange(3, 27).reshape(2, 12), torch.ones(2, 12, dtype=torch.long)
    attention[1, 8:] = 0
    places = torch.tensor([[4, 11], [2, 7]])
    *scores, states = Scorer(model)(ids, attention, torch.zeros(2, 12), 1.0, places)
    assert len(scores) == 2 and states.shape == (2, 2, model.config.hidden_size)
    every = model(input_ids=ids, attention_mask=attention, output_hidden_states=True).hidden_states[-1]
    expected = torch.stack([every[0, [4, 11]], every[1, [2, 7]]])
    torch.testing.assert_close(states, expected, rtol=0, atol=1e-12)


def test_parameters_are_neither_copied_nor_renamed() -> None:
    model = new_model()
    scorer = Scorer(model)
    assert sum(p.numel() for p in scorer.parameters()) == sum(p.numel() for p in model.parameters())
    assert scorer.head.weight is model.get_output_embeddings().weight


def test_a_capped_head_is_refused() -> None:
    config = Gemma2Config(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        final_logit_softcapping=0.5,
    )
    with pytest.raises(UserError, match=r"Gemma2ForCausalLM changes its logits .* choose another model\.path"):
        Scorer(Gemma2ForCausalLM(config).eval())
