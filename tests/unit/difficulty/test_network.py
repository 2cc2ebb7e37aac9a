"""Attention, calibration and sizes: the paper's numbers, loops, and what must not matter."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from effrl.difficulty.attention import attend
from effrl.difficulty.network import Calibration, DifficultyNetwork, calibrate

seeds = st.integers(0, 2**32)


def tensors(seed: int, n: int = 5, count: int = 7, width: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    queries, references = (torch.randn(size, width, generator=generator, dtype=torch.float64) for size in (n, count))
    return queries, references, torch.rand(count, generator=generator, dtype=torch.float64)


# --- attention


def test_attention_by_hand() -> None:
    query, references = torch.tensor([[2.0, 0, 0, 0]]), torch.tensor([[2.0, 0, 0, 0], [0, 0, 0, 0]])
    assert attend(query, references, torch.tensor([1.0, 0.0])).item() == pytest.approx(0.880797, abs=1e-6)
    assert attend(query, references, torch.tensor([0.0, 1.0])).item() == pytest.approx(0.119203, abs=1e-6)


@given(seeds)
def test_attention_is_a_loop_over_references(seed: int) -> None:
    queries, references, rates = tensors(seed)
    for query, found in zip(queries.tolist(), attend(queries, references, rates).tolist(), strict=True):
        weights = [math.exp(math.fsum(map(lambda a, b: a * b, query, row)) / 2) for row in references.tolist()]
        expected = math.fsum(w * r for w, r in zip(weights, rates.tolist(), strict=True)) / math.fsum(weights)
        assert found == pytest.approx(expected)


@given(seeds)
def test_the_order_of_references_does_not_matter_and_rates_may_differ_by_query(seed: int) -> None:
    queries, references, rates = tensors(seed)
    found = attend(queries, references, rates)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(attend(queries, references[order], rates[order]), found)
    torch.testing.assert_close(attend(queries, references, rates.expand(5, 7)), found)
    assert (found >= rates.min()).all() and (found <= rates.max()).all()


def test_identical_references_give_the_mean_and_identical_rates_themselves() -> None:
    queries, references, rates = tensors(1)
    torch.testing.assert_close(attend(queries, references[:1].expand(7, 4), rates), rates.mean().expand(5))
    torch.testing.assert_close(
        attend(queries, references, torch.full_like(rates, 0.3)), torch.full_like(queries[:, 0], 0.3)
    )


def test_scores_of_any_size_do_not_overflow() -> None:
    """As after a shift of all scores by a constant: the largest counts as 0."""
    queries, references, rates = tensors(1)
    found = attend(queries * 1e6, references, rates)
    assert torch.isfinite(found).all()
    nearest = (queries @ references.T).argmax(1)
    torch.testing.assert_close(found, rates[nearest])


def test_what_is_hidden_is_as_if_it_were_not_there() -> None:
    queries, references, rates = tensors(1, n=1)
    hidden = torch.tensor([[False, True, False, True, False, False, True]])
    torch.testing.assert_close(
        attend(queries, references, rates, hidden), attend(queries, references[~hidden[0]], rates[~hidden[0]])
    )
    torch.testing.assert_close(attend(queries, references, rates, torch.ones(1, 7, dtype=torch.bool))[0], rates.mean())


# --- calibration


@pytest.mark.parametrize(
    ("temperature", "shift", "expected"),
    [(1, 0, 0.880797), (2, 0, 0.731059), (0.5, 0.3, 0.986613), (math.log(2), 0, 0.947119)],
)
def test_calibration_by_hand(temperature: float, shift: float, expected: float) -> None:
    found = calibrate(torch.tensor(0.880797), torch.tensor(temperature), torch.tensor(shift))
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_a_head_of_zeros_has_temperature_ln_2() -> None:
    head = Calibration()
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    found = head(torch.tensor([0.880797]), torch.tensor([0.1, 0.9, 0.4]))
    assert found.item() == pytest.approx(0.947119, abs=1e-6)


@given(seeds, st.lists(st.floats(0, 1), min_size=1, max_size=9))
@settings(max_examples=30)
def test_the_head_keeps_order_and_stays_finite_at_the_ends(seed: int, rates: list[float]) -> None:
    torch.manual_seed(seed)
    predicted = torch.tensor([0.0, 0.02, 0.1, 0.5, 0.7, 0.98, 1.0])
    found = Calibration()(predicted, torch.tensor(rates)).detach()
    assert torch.isfinite(found).all()
    assert spearmanr(predicted, found).statistic == pytest.approx(1)


def test_the_head_reads_mean_and_unbiased_deviation_of_each_query_s_rates() -> None:
    head, predicted = Calibration(), torch.tensor([0.3, 0.3])
    rates = torch.tensor([[0.0, 0.5, 1.0], [0.2, 0.2, 0.5]])
    both = head(predicted, rates)
    for row in range(2):
        torch.testing.assert_close(head(predicted[:1], rates[row])[0], both[row])
        moments = torch.tensor([rates[row].mean(), np.std(rates[row].numpy(), ddof=1)])
        scale, shift = head.layers(moments)
        torch.testing.assert_close(
            calibrate(predicted[0], torch.nn.functional.softplus(scale).clamp(1e-2, 10), torch.tanh(shift)), both[row]
        )


# --- the whole


def test_size_of_the_papers_network() -> None:
    network = DifficultyNetwork(1536)
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert count == {"queries": 2_989_440, "references": 2_989_440, "calibration": 52}


def test_queries_and_references_have_adapters_of_their_own() -> None:
    network = DifficultyNetwork(6, hidden=8, layers=2).eval()
    rows = torch.randn(4, 6)
    assert not torch.allclose(network.queries(rows), network.references(rows))


def test_the_scale_of_embeddings_does_not_matter() -> None:
    network = DifficultyNetwork(6, hidden=8).eval().double()
    queries, references = torch.randn(4, 6).double(), torch.randn(3, 6).double()
    rates = torch.tensor([0.1, 0.5, 0.9]).double()
    torch.testing.assert_close(
        network(1000 * queries, 1000 * references, rates), network(queries, references, rates), atol=1e-4, rtol=0
    )
