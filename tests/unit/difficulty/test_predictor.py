"""Predicting a whole pool: the same as the network by itself, an honest line, and a baseline."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from effrl.difficulty import predictor as module
from effrl.difficulty.network import DifficultyNetwork
from effrl.difficulty.posthoc import IDENTITY, Line, ordinary_least_squares
from effrl.difficulty.predictor import DifficultyPredictor, UntrainedPredictor

REFERENCES, RATES = [3, 11, 4, 20, 8], [0.0, 0.25, 0.5, 0.625, 1.0]


@pytest.fixture
def network() -> DifficultyNetwork:
    torch.manual_seed(1)
    return DifficultyNetwork(6, hidden=16, layers=2).eval()


@pytest.fixture
def embeddings() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(30, 6)).astype(np.float32)


# --- the line


@given(st.lists(st.floats(0, 1), min_size=3, max_size=20, unique=True), st.integers(0, 2**32))
def test_the_line_is_least_squares(values: list[float], seed: int) -> None:
    predicted = np.array(values)
    if np.ptp(predicted) < 0.01:
        return
    measured = 0.2 + 0.5 * predicted + np.random.default_rng(seed).normal(size=len(values)) * 0.01
    slope, intercept = np.polyfit(predicted, measured, 1)
    found = ordinary_least_squares(predicted, measured)
    expected = Line(slope, intercept) if slope > 0 else IDENTITY
    assert (found.slope, found.intercept) == pytest.approx((expected.slope, expected.intercept), abs=1e-6)


def test_the_truth_needs_no_line() -> None:
    rates = np.array([0.0, 0.25, 0.5, 1.0])
    line = ordinary_least_squares(rates, rates)
    assert (line.slope, line.intercept) == pytest.approx((1, 0))


@pytest.mark.parametrize("predicted", [[0.4, 0.4, 0.4], [0.1 + 0.2, 0.3, 0.3], [0.7], [0.9, 0.5, 0.1]])
def test_constant_or_reversed_predictions_stay_as_they_are(predicted: list[float]) -> None:
    assert ordinary_least_squares(np.array(predicted), np.array([0.0, 0.5, 1.0][: len(predicted)])) == IDENTITY


def test_a_line_stays_within_zero_and_one() -> None:
    assert Line(3.0, -1.0)(np.array([0.1, 0.5, 0.9])).tolist() == [0.0, 0.5, 1.0]


# --- a pool


def test_without_a_line_it_is_the_network(network: DifficultyNetwork, embeddings: np.ndarray) -> None:
    found = DifficultyPredictor(network, embeddings, "none")(REFERENCES, RATES)
    rows = torch.from_numpy(embeddings)
    expected = network(rows, rows[REFERENCES], torch.tensor(RATES)).detach()
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_line_is_fitted_without_each_references_own_rate(
    network: DifficultyNetwork, embeddings: np.ndarray
) -> None:
    """One reference at a time is taken away, and predicted from the others' attention."""
    rows, rates = torch.from_numpy(embeddings), torch.tensor(RATES)
    left_out = []
    for k in range(5):
        others = [j for j in range(5) if j != k]
        queries, references = network.queries(rows[REFERENCES[k]][None]), network.references(rows[REFERENCES])
        mixture = module.attend(queries, references[others], rates[others])
        left_out.append(network.calibration(mixture, rates).item())
    line = ordinary_least_squares(np.array(left_out), np.array(RATES))
    raw = DifficultyPredictor(network, embeddings, "none")(REFERENCES, RATES)
    expected, found = line(raw), DifficultyPredictor(network, embeddings, "ols")(REFERENCES, RATES)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_its_own_rate_would_flatter_the_network(embeddings: np.ndarray) -> None:
    """Rates that nothing explains: a network that looks at itself finds them; left out, it finds nothing."""
    network = DifficultyNetwork(6, hidden=16, layers=1).eval()
    with torch.no_grad():
        network.references.load_state_dict(network.queries.state_dict())
        for adapter in (network.queries, network.references):
            adapter[-1].weight.mul_(4)
    rates = np.random.default_rng(2).random(30).tolist()
    raw = DifficultyPredictor(network, embeddings, "none")(range(30), rates)
    in_sample = ordinary_least_squares(raw, np.array(rates))
    honest = DifficultyPredictor(network, embeddings)(range(30), rates)
    assert np.corrcoef(raw, rates)[0, 1] > 0.9
    assert np.ptp(honest) < 0.7 * np.ptp(in_sample(raw)) or np.array_equal(honest, raw)


def test_pieces_do_not_matter(
    network: DifficultyNetwork, embeddings: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = DifficultyPredictor(network, embeddings)(REFERENCES, RATES)
    monkeypatch.setattr(module, "_ROWS", 7)
    np.testing.assert_allclose(DifficultyPredictor(network, embeddings)(REFERENCES, RATES), whole, atol=1e-5)


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_references_that_are_all_equal_and_a_single_one(
    network: DifficultyNetwork, embeddings: np.ndarray, rate: float
) -> None:
    for references in (REFERENCES, [7]):
        found = DifficultyPredictor(network, embeddings)(references, [rate] * len(references))
        assert np.isfinite(found).all() and np.ptp(found) < 1e-6


def test_embeddings_may_be_a_file(network: DifficultyNetwork, embeddings: np.ndarray, tmp_path: object) -> None:
    file = f"{tmp_path}/embeddings.npy"
    np.save(file, embeddings)
    mapped = np.load(file, mmap_mode="r")
    np.testing.assert_array_equal(
        DifficultyPredictor(network, mapped)(REFERENCES, RATES),
        DifficultyPredictor(network, embeddings)(REFERENCES, RATES),
    )


def test_the_baseline_is_attention_over_raw_embeddings(embeddings: np.ndarray) -> None:
    scores = embeddings @ embeddings[REFERENCES].T / np.sqrt(6)
    weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    np.testing.assert_allclose(UntrainedPredictor(embeddings)(REFERENCES, RATES), weights @ RATES, atol=1e-6)


def test_wrong_inputs_are_refused(network: DifficultyNetwork, embeddings: np.ndarray) -> None:
    with pytest.raises(ValueError, match="network of 6 dimensions"):
        DifficultyPredictor(network, embeddings[:, :5])
    for predictor in (DifficultyPredictor(network, embeddings), UntrainedPredictor(embeddings)):
        for references, rates in (([], []), ([1], []), ([1, 2], [0.5])):
            with pytest.raises(ValueError, match="at least one"):
                predictor(references, rates)
        for rate in (1.5, -0.1, float("nan")):
            with pytest.raises(ValueError, match=r"not in \[0, 1\]"):
                predictor([1], [rate])
