"""Log-probs without logits: equal to the naive ones in value and gradient, and never more logits than a slice."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from effrl.loss.head import token_scores

HIDDEN, VOCABULARY = 5, 11


class LargestTensor(TorchDispatchMode):
    """Remembers the largest tensor that any operation made."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, Tensor):
                self.size = max(self.size, tensor.untyped_storage().nbytes() // tensor.element_size())
        return made


def naive(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, tokens: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    distribution = torch.log_softmax(torch.nn.functional.linear(hidden, weight, bias) / temperature, -1)
    entropy = -(distribution.exp() * distribution).sum(-1)
    return distribution.gather(-1, tokens[:, None])[:, 0], entropy


def inputs(count: int, bias: bool, dtype: torch.dtype, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor | None]:
    generator = torch.Generator().manual_seed(count)
    shapes = [(count, HIDDEN), (VOCABULARY, HIDDEN), (VOCABULARY,)]
    made = [(torch.randn(shape, generator=generator) * scale).to(dtype).requires_grad_() for shape in shapes]
    return made[0], made[1], made[2] if bias else None


def asked(count: int) -> Tensor:
    return torch.arange(count) * 7 % VOCABULARY


def gradients(logprobs: Tensor, *tensors: Tensor | None) -> list[Tensor]:
    """Of a sum with a slope of its own for each token."""
    slopes = torch.linspace(-1, 2, len(logprobs), dtype=logprobs.dtype)
    return list(torch.autograd.grad((logprobs * slopes).sum(), [tensor for tensor in tensors if tensor is not None]))


@given(st.integers(1, 9), st.integers(1, 120), st.booleans(), st.sampled_from([1.0, 0.6, 1.7]))
def test_values_and_gradients_are_the_naive_ones(count: int, logits: int, bias: bool, temperature: float) -> None:
    tensors = inputs(count, bias, torch.float64)
    logprobs, entropy = token_scores(*tensors, asked(count), logits, temperature)
    expected, expected_entropy = naive(*tensors, asked(count), temperature)
    torch.testing.assert_close(logprobs, expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(entropy, expected_entropy, rtol=0, atol=1e-13)
    assert not entropy.requires_grad
    for actual, by_hand in zip(gradients(logprobs, *tensors), gradients(expected, *tensors), strict=True):
        torch.testing.assert_close(actual, by_hand, rtol=0, atol=1e-13)


def test_two_tokens_by_hand() -> None:
    """Logits (log 3, 0) make probabilities 3/4 and 1/4; the slope by the logits is (1, 0) - (3/4, 1/4)."""
    hidden = torch.tensor([[1.0]], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([[3.0], [1.0]], dtype=torch.float64).log().requires_grad_()
    logprobs, entropy = token_scores(hidden, weight, None, torch.tensor([0]))
    assert logprobs.exp().item() == pytest.approx(0.75)
    assert entropy.item() == pytest.approx(0.5623351446)
    logprobs.backward()
    assert weight.grad is not None and weight.grad.ravel().tolist() == pytest.approx([0.25, -0.25])


def test_a_tied_weight_gets_both_gradients() -> None:
    """Embedding and head share one tensor: what the token's row gets as input adds to what the head gets."""
    _, weight, _ = inputs(4, False, torch.float64)
    ids, tokens = torch.tensor([1, 2, 3, 1]), asked(4)
    [actual] = gradients(token_scores(weight[ids], weight, None, tokens, 2 * VOCABULARY)[0], weight)
    [expected] = gradients(naive(weight[ids], weight, None, tokens)[0], weight)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("scale", [1e-3, 30.0])
def test_float32_is_as_near_to_float64_as_the_naive_one(scale: float) -> None:
    tensors = inputs(64, True, torch.float32, scale)
    exact, exact_entropy = naive(*(None if tensor is None else tensor.double() for tensor in tensors), asked(64))
    logprobs, entropy = token_scores(*tensors, asked(64), 7 * VOCABULARY)
    assert logprobs.dtype == torch.float32 and torch.isfinite(entropy).all()
    torch.testing.assert_close(logprobs.double(), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy.double(), exact_entropy, rtol=1e-4, atol=1e-5)


def test_bfloat16_adds_up_in_float32() -> None:
    """A thousand slices of one token each give the gradient of one slice, within a rounding of the largest entry."""
    tensors = inputs(1000, True, torch.bfloat16)
    slices, whole = (token_scores(*tensors, asked(1000), logits)[0] for logits in (1, 10**6))
    assert slices.dtype == torch.float32
    for actual, expected in zip(gradients(slices, *tensors), gradients(whole, *tensors), strict=True):
        assert (actual - expected).abs().max() <= 2**-8 * expected.abs().max()


def test_no_more_logits_than_a_slice_ever_exist() -> None:
    hidden, weight, bias = inputs(100, True, torch.float32)
    with LargestTensor() as all_at_once:
        naive(hidden, weight, bias, asked(100))[0].sum().backward()
    with LargestTensor() as in_slices:
        token_scores(hidden, weight, bias, asked(100), 3 * VOCABULARY)[0].sum().backward()
    assert all_at_once.size == 100 * VOCABULARY
    assert in_slices.size == 100 * HIDDEN, "the gradient of the hidden states; a slice has 3 x 11 logits"


def test_no_tokens_no_gradient() -> None:
    tensors = inputs(3, True, torch.float32)
    logprobs, entropy = token_scores(tensors[0][:0], *tensors[1:], asked(0))
    assert logprobs.shape == entropy.shape == (0,)
    assert all(not grad.any() for grad in gradients(logprobs, *tensors))
