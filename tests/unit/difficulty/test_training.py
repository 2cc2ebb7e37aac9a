"""Fitting: steps and loss by hand, and policies that were never seen, near the noise ceiling."""

import math

import numpy as np
import pytest
import torch

from effrl.difficulty.metrics import noise_ceiling, pearson
from effrl.difficulty.network import DifficultyNetwork
from effrl.difficulty.predictor import DifficultyPredictor, UntrainedPredictor
from effrl.difficulty.training import Examples, Fit, PolicyTable, fit, learning_rate, loss, steps
from tests.unit.difficulty.synthetic import DIMENSION, TRIES, World

TWO_POLICIES = Examples(
    np.arange(24, dtype=np.float32).reshape(12, 2),
    np.array([0, 1, 2, 3]),
    [
        PolicyTable(
            np.array([4, 5, 1]), np.array([0.0, 0.5, 1.0], np.float32), np.array([0.0, 0.1, 0.2, 0.3], np.float32)
        ),
        PolicyTable(np.array([9, 3]), np.array([0.25, 0.75], np.float32), np.array([0.4, 0.5, 0.6, 0.7], np.float32)),
    ],
)
"""The references 0 to 3 hold the rates 0.0 to 0.3 under one policy, and 0.4 to 0.7 under the other."""


def test_every_prompt_comes_once_an_epoch_with_its_own_policys_references() -> None:
    rows: dict[int, tuple[float, float]] = {}
    for step in steps(TWO_POLICIES, Fit(batch=2, references=3), epoch=0):
        assert step.references.shape == (3, 2)
        drawn = (step.references[:, 0] / 2).long()
        assert len(set(drawn.tolist())) == 3
        for query, rate, reference_rates, own in zip(
            step.queries, step.rates, step.reference_rates, step.own, strict=True
        ):
            row, policy = int(query[0] / 2), float(reference_rates[0] >= 0.35)
            rows[row] = (float(rate), policy)
            np.testing.assert_allclose(reference_rates, 0.1 * drawn + 0.4 * policy, atol=1e-6)
            assert own.tolist() == [reference == row for reference in drawn.tolist()]
    assert rows == {4: (0.0, 0), 5: (0.5, 0), 1: (1.0, 0), 9: (0.25, 1), 3: (0.75, 1)}


def test_epochs_differ_and_can_be_repeated() -> None:
    def order(epoch: int, seed: int = 1) -> list[float]:
        return [float(q) for step in steps(TWO_POLICIES, Fit(batch=2, seed=seed), epoch) for q in step.queries[:, 0]]

    assert order(0) == order(0)
    assert len({tuple(order(epoch)) for epoch in range(6)}) > 1
    assert len({tuple(order(0, seed)) for seed in range(6)}) > 1


def test_loss_by_hand() -> None:
    """BCE(0.8808, 0.75) = 0.626932; least where the prediction is the target, and the entropy is left there."""

    class Says(DifficultyNetwork):
        def forward(self, queries: torch.Tensor, *rest: object) -> torch.Tensor:
            return torch.full((len(queries),), self.value)

    network, step = Says(2, 2, 1), next(steps(TWO_POLICIES, Fit(), 0))
    expected = {}
    for value in (0.3, 0.5, 0.7, 0.8808):
        network.value = value
        rates = step.rates.tolist()
        by_hand = [-(y * math.log(value) + (1 - y) * math.log(1 - value)) for y in rates]
        expected[value] = sum(by_hand) / len(by_hand)
        assert loss(network, step).item() == pytest.approx(expected[value], rel=1e-5)
    assert min(expected, key=expected.__getitem__) == 0.5, "the mean of the five targets"
    assert -(0.75 * math.log(0.8808) + 0.25 * math.log(0.1192)) == pytest.approx(0.626932, abs=2e-5)


@pytest.mark.parametrize(("total", "warmup"), [(2000, 100), (50, 5), (5, 1), (1, 1)])
def test_learning_rate_rises_and_falls_in_lines(total: int, warmup: int) -> None:
    factors = [learning_rate(step, total) for step in range(total)]
    assert factors[:warmup] == pytest.approx([(step + 1) / warmup for step in range(warmup)])
    assert max(factors) == factors[warmup - 1] == 1
    assert np.diff(factors[warmup:]) == pytest.approx(-1 / (total - warmup) if total > warmup + 1 else [])
    assert factors[-1] > 0


def test_a_query_cannot_see_its_own_rate_through_the_references() -> None:
    """Labels that nothing explains, references that are the queries: a leak would be learned to perfection."""
    random = np.random.default_rng(1)
    rates = random.integers(0, 2, 64).astype(np.float32)
    rows = np.arange(64)
    examples = Examples(random.normal(size=(64, 8)).astype(np.float32), rows, [PolicyTable(rows, rates, rates)])
    torch.manual_seed(1)
    network = DifficultyNetwork(8, hidden=16, layers=1, dropout=0.0)
    losses = fit(network, [examples], Fit(epochs=30, batch=64, references=64))
    assert losses[-1] > 0.3


def test_unseen_policies_are_predicted_near_the_noise_ceiling() -> None:
    world = World(1500)
    examples = world.examples([-2.0, -1.4, -0.8, -0.3, 0.3, 0.8, 1.4, 2.0], references=256, per_policy=500)
    torch.manual_seed(1)
    network = DifficultyNetwork(DIMENSION, hidden=32)
    losses = fit(network, [examples], Fit(epochs=12))
    assert losses[-1] < losses[0]
    trained, untrained = DifficultyPredictor(network, world.embeddings), UntrainedPredictor(world.embeddings)
    references, rest = np.arange(128), np.arange(256, 1500)
    for ability in (-1.7, -0.5, 0.5, 1.7):
        rates = world.rates(ability)
        measured, labels = world.measure(rates[references]).tolist(), world.measure(rates[rest]).astype(np.float64)
        best = noise_ceiling(rates[rest], TRIES)
        found = trained(references.tolist(), measured)[rest]
        baseline = untrained(references.tolist(), measured)[rest]
        assert 0.9 * best < pearson(found, labels) < best + 0.05
        assert pearson(found, labels) > pearson(baseline, labels) + 0.05
        assert abs(found.mean() - rates[rest].mean()) < 0.08, "the head follows the policy's ability"
