"""The clipped loss against a naive loop, hand-computed numbers and its gradient by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from effrl.loss.clipped import clipped_loss

LIMITS = {"clip_low": 0.2, "clip_high": 0.28, "tis_cap": 2.0}


def naive(new: float, old: float, behaviour: float, advantage: float) -> tuple[float, bool, bool]:
    """One token, written from the papers' formulas."""
    ratio = math.exp(new - old)
    clipped = min(max(ratio, 1 - LIMITS["clip_low"]), 1 + LIMITS["clip_high"])
    weight = math.exp(old - behaviour)
    surrogate = min(ratio * advantage, clipped * advantage)
    return (
        -min(weight, LIMITS["tis_cap"]) * surrogate,
        clipped * advantage < ratio * advantage,
        weight > LIMITS["tis_cap"],
    )


token = st.tuples(*[st.floats(-3, 0)] * 3, st.floats(-2, 2), st.booleans())


@settings(deadline=None)
@given(st.lists(token, min_size=1, max_size=12))
def test_against_a_naive_loop(tokens: list[tuple[float, float, float, float, bool]]) -> None:
    columns = [torch.tensor([[float(row[i]) for row in tokens]], dtype=torch.float64) for i in range(5)]
    output = clipped_loss(*columns, **LIMITS)
    kept = [naive(*row[:4]) for row in tokens if row[4]]
    assert output.loss_sum.item() == pytest.approx(sum(value for value, _, _ in kept), abs=1e-9)
    assert output.truncated.item() == sum(truncated for _, _, truncated in kept)


def test_on_policy_gradient_is_reinforce() -> None:
    """With old = new, the ratio is 1 and its gradient that of the log-prob: -weight x advantage."""
    new = torch.tensor([[-1.0, -2.0, -0.5]], requires_grad=True)
    behaviour = new.detach() - torch.tensor([[0.0, math.log(3), math.log(1.5)]])  # weights 1, 3 (capped at 2), 1.5
    advantages = torch.tensor([[1.0, -1.0, 2.0]])
    clipped_loss(new, new.detach(), behaviour, advantages, torch.ones(1, 3), **LIMITS).loss_sum.backward()
    assert torch.allclose(new.grad, torch.tensor([[-1.0, 2.0, -3.0]]), atol=1e-6)


def test_beyond_the_clip_there_is_no_gradient() -> None:
    old = torch.tensor([[-1.0, -1.0, -1.0, -1.0]])
    new = (old + torch.tensor([[0.3, -0.3, 0.3, -0.3]])).requires_grad_()
    advantages = torch.tensor([[1.0, -1.0, -1.0, 1.0]])  # the first two are clipped, the last two are not
    output = clipped_loss(new, old, old, advantages, torch.ones(1, 4), **LIMITS)
    output.loss_sum.backward()
    assert (new.grad[0, :2] == 0).all() and (new.grad[0, 2:] != 0).all()
    assert output.clipped.item() == 2


def test_masked_tokens_count_nowhere() -> None:
    new = torch.zeros(1, 2, requires_grad=True)
    output = clipped_loss(new, new.detach(), new.detach() - 5, torch.ones(1, 2), torch.tensor([[1.0, 0.0]]), **LIMITS)
    output.loss_sum.backward()
    assert new.grad[0, 1] == 0 and output.truncated.item() == 1
