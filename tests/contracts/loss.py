"""What every :class:`effrl.loss.tokens.PolicyLoss` must do. To check your own, subclass and say what it is::

from tests.contracts.loss import PolicyLossContract

class TestMyLoss(PolicyLossContract):
    def make(self):
        return my_loss
"""

from dataclasses import replace

import pytest
import torch

from effrl.loss.tokens import PolicyLoss, Tokens

LENGTHS = (5, 2, 7, 1)
"""Sampled tokens of each row; two of the prompt stand before them."""


def tokens(rows: tuple[int, ...] = (0, 1, 2, 3), outside: float = 0.0) -> Tokens:
    """Some rows of one and the same batch, padded to the longest of them; ``outside`` is what stands elsewhere."""
    width = 2 + max(LENGTHS[row] for row in rows)
    mask = torch.zeros(len(rows), width)
    columns = torch.full((4, len(rows), width), outside)
    for place, row in enumerate(rows):
        inside = slice(2, 2 + LENGTHS[row])
        mask[place, inside] = 1
        numbers = torch.Generator().manual_seed(row)
        columns[:, place, inside] = torch.randn(4, LENGTHS[row], generator=numbers)
    new, old, behaviour, advantages = columns
    return Tokens((new - 3).requires_grad_(), old * 0.1 + new - 3, behaviour * 0.1 + new - 3, advantages, mask)


class PolicyLossContract:
    """The contract; pytest does not collect this class itself, only what inherits from it."""

    def make(self) -> PolicyLoss:
        """The loss."""
        raise NotImplementedError

    def test_each_token_has_a_surrogate(self) -> None:
        given = tokens()
        surrogates, clipped = self.make()(given)
        assert surrogates.shape == clipped.shape == given.mask.shape, "no mean is taken here"
        assert torch.isfinite(surrogates[given.mask > 0]).all()
        assert ((clipped == 0) | (clipped == 1)).all()

    def test_the_gradient_is_through_the_log_probs(self) -> None:
        given = tokens()
        gradient = self._gradient(given)
        assert torch.isfinite(gradient).all() and gradient[given.mask > 0].any()

    @pytest.mark.parametrize("rows", [(0,), (3,), (1, 2), (2, 0, 1)])
    def test_a_row_is_the_same_in_any_micro_batch(self, rows: tuple[int, ...]) -> None:
        """The others in it, and the padding that they make, change nothing: neither value nor gradient."""
        whole, part = tokens(), tokens(rows)
        (all_values, all_clipped), (values, clipped) = self.make()(whole), self.make()(part)
        expected, gradient = self._gradient(whole), self._gradient(part)
        for place, row in enumerate(rows):
            inside = slice(2, 2 + LENGTHS[row])
            for found, wanted in ((values, all_values), (clipped, all_clipped), (gradient, expected)):
                assert torch.allclose(found[place, inside].float(), wanted[row, inside].float(), atol=1e-6)

    def test_what_stands_outside_the_mask_does_not_matter(self) -> None:
        one, other = tokens(), tokens(outside=7.0)
        inside = one.mask > 0
        assert torch.allclose(self.make()(one)[0][inside], self.make()(other)[0][inside])

    def test_without_an_advantage_nothing_moves(self) -> None:
        """A weight of 0 must leave its group without influence."""
        given = tokens()
        silent = replace(given, advantages=torch.zeros_like(given.advantages))
        assert not self._gradient(silent).any()

    def test_half_an_advantage_is_half_a_gradient(self) -> None:
        """``Supervision.weight`` multiplies advantages."""
        given = tokens()
        half = replace(given, advantages=given.advantages / 2)
        assert torch.allclose(self._gradient(half), self._gradient(given) / 2, atol=1e-6)

    def _gradient(self, given: Tokens) -> torch.Tensor:
        """[B, T] of the sum of all surrogates."""
        surrogates, _ = self.make()(given)
        [gradient] = torch.autograd.grad((surrogates * given.mask).sum(), given.logprobs)
        return gradient
