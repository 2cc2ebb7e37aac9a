"""GAE against its definition as a double sum, by hand, and in its two limits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from effrl.advantage.gae import discounted_sums, gae, value_loss

Row = list[tuple[float, float]]
"""Reward and value of each sampled token."""

numbers = st.floats(-3, 3)
rows = st.lists(st.tuples(numbers, numbers), min_size=1, max_size=7)
batches = st.lists(rows, min_size=1, max_size=4)
discounts = st.floats(0, 1)


def padded(batch: list[Row], column: int, filling: float) -> Tensor:
    """[B, 2 + longest]: two tokens of the prompt before the sampled ones, padding after them."""
    longest = max(map(len, batch))
    return torch.tensor(
        [[filling] * 2 + [token[column] for token in row] + [filling] * (longest - len(row)) for row in batch],
        dtype=torch.float64,
    )


def estimate(batch: list[Row], gamma: float, lam: float) -> tuple[Tensor, Tensor, Tensor]:
    """Advantages, returns and mask; what stands outside the mask is not a number."""
    mask = padded([[(1.0, 1.0)] * len(row) for row in batch], 0, 0.0)
    nan = float("nan")
    return (*gae(padded(batch, 0, nan), padded(batch, 1, nan), mask, gamma, lam), mask)


def by_definition(row: Row, gamma: float, lam: float) -> list[float]:
    """``A_t = sum_k (gamma lam)^k (r_{t+k} + gamma V_{t+k+1} - V_{t+k})``, written down as it stands."""
    values = [value for _, value in row] + [0.0]
    deltas = [row[t][0] + gamma * values[t + 1] - values[t] for t in range(len(row))]
    return [sum((gamma * lam) ** k * deltas[t + k] for k in range(len(row) - t)) for t in range(len(row))]


@given(batches, discounts, discounts)
def test_against_the_definition(batch: list[Row], gamma: float, lam: float) -> None:
    advantages, returns, mask = estimate(batch, gamma, lam)
    expected = padded([[(value, 0.0) for value in by_definition(row, gamma, lam)] for row in batch], 0, 0.0)
    torch.testing.assert_close(advantages, expected)
    torch.testing.assert_close(returns, expected + padded(batch, 1, 0.0) * mask)


def test_by_hand() -> None:
    """Rewards 0, 1 and values 0.5, 0.25: deltas 0.9 * 0.25 - 0.5 = -0.275 and 1 - 0.25 = 0.75."""
    advantages, returns, _ = estimate([[(0.0, 0.5), (1.0, 0.25)]], gamma=0.9, lam=0.8)
    assert advantages[0].tolist() == pytest.approx([0, 0, -0.275 + 0.72 * 0.75, 0.75])
    assert returns[0].tolist() == pytest.approx([0, 0, 0.765, 1.0])


@given(batches)
def test_without_discount_a_return_is_the_rewards_to_come(batch: list[Row]) -> None:
    _, returns, _ = estimate(batch, 1.0, 1.0)
    for row, found in zip(batch, returns.tolist(), strict=True):
        to_come = [sum(reward for reward, _ in row[t:]) for t in range(len(row))]
        assert found[2 : 2 + len(row)] == pytest.approx(to_come, abs=1e-9)


@given(batches, discounts)
def test_without_lambda_an_advantage_is_one_step_of_surprise(batch: list[Row], gamma: float) -> None:
    advantages, _, _ = estimate(batch, gamma, 0.0)
    for row, found in zip(batch, advantages.tolist(), strict=True):
        values = [value for _, value in row] + [0.0]
        surprise = [row[t][0] + gamma * values[t + 1] - values[t] for t in range(len(row))]
        assert found[2 : 2 + len(row)] == pytest.approx(surprise, abs=1e-9)


@pytest.mark.parametrize(
    ("value", "expected", "gradient"),
    [
        (1.0, 0.5 * 0.5**2, -0.5),  # within the clip: the plain square
        (1.4, 0.5 * 0.3**2, 0.0),  # the clipped value 1.2 is the worse of the two, and does not move
        (0.5, 0.5 * 1.0**2, -1.0),  # far below and away from the return: the plain one is worse, and pulls back
    ],
)
def test_value_loss(value: float, expected: float, gradient: float) -> None:
    """Old value 1, return 1.5, clip 0.2."""
    values = torch.tensor([[value]], dtype=torch.float64, requires_grad=True)
    loss = value_loss(values, torch.ones_like(values), torch.full_like(values, 1.5), 0.2)
    loss.sum().backward()
    assert loss.item() == pytest.approx(expected)
    assert values.grad is not None and values.grad.item() == pytest.approx(gradient)


def loop(rewards: Tensor, values: Tensor, gamma: float, lam: float) -> Tensor:
    """Token by token from the end, without a mask."""
    found = torch.zeros_like(values)
    following = next_value = torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        following = rewards[:, t] + gamma * next_value - values[:, t] + gamma * lam * following
        next_value = values[:, t]
        found[:, t] = following
    return found


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 1.0), (1.0, 0.95), (0.99, 0.9)])
def test_long_rows_are_those_of_a_loop(gamma: float, lam: float) -> None:
    """4,096 tokens in float32, where a sum of thousands of terms could lose digits."""
    numbers = torch.Generator().manual_seed(1)
    rewards, values = (torch.randn(4, 4096, generator=numbers) for _ in range(2))
    expected = loop(rewards.double(), values.double(), gamma, lam)
    found, _ = gae(rewards, values, torch.ones(4, 4096), gamma, lam)
    assert (found - expected).abs().max() <= 1e-6 * expected.abs().max()


@given(st.lists(numbers, min_size=1, max_size=40), discounts)
def test_sums_by_doubling_are_those_of_a_loop(terms: list[float], factor: float) -> None:
    following, expected = 0.0, []
    for term in reversed(terms):
        following = term + factor * following
        expected.append(following)
    found = discounted_sums(torch.tensor([terms], dtype=torch.float64), factor)
    assert found[0].tolist() == pytest.approx(expected[::-1], abs=1e-9)
