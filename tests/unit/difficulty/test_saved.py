"""A predictor on disk: the same predictions back, and a clear word where it does not fit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from effrl.difficulty.network import DifficultyNetwork
from effrl.difficulty.saved import Card, load, save
from effrl.errors import UserError

CARD = Card("3f2a", "mean", 4, {"pearson": 0.75})


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save(tmp_path / "predictor.safetensors", DifficultyNetwork(6, hidden=8, layers=2), CARD)
    return tmp_path / "predictor.safetensors"


def test_round_trip(tmp_path: Path) -> None:
    network = DifficultyNetwork(6, hidden=8, layers=2).eval()
    save(tmp_path / "predictor.safetensors", network, CARD)
    again, card = load(tmp_path / "predictor.safetensors", "3f2a", "mean", 6)
    queries, references, rates = torch.randn(5, 6), torch.randn(3, 6), torch.tensor([0.1, 0.5, 0.9])
    assert torch.equal(again(queries, references, rates), network(queries, references, rates))
    assert card == CARD
    assert not again.training
    assert [file.name for file in tmp_path.iterdir()] == ["predictor.safetensors"]


@pytest.mark.parametrize(
    ("embedder", "pooling", "dimension", "words"),
    [
        ("3f2a", "mean", 192, ["embeddings of 6 dimensions, these have 192", "fit the predictor again"]),
        ("77aa", "mean", 6, ["of model 3f2a, these are of 77aa"]),
        ("3f2a", "last", 6, ["'mean' pooling, these have 'last'"]),
    ],
)
def test_other_embeddings_are_refused(
    saved: Path, embedder: str, pooling: str, dimension: int, words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        load(saved, embedder, pooling, dimension)
    assert all(word in str(caught.value) for word in words)


def test_missing_cut_off_and_strange_files(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path / "nothing", "3f2a", "mean", 6)
    cut = tmp_path / "cut"
    cut.write_bytes(saved.read_bytes()[:-40])
    with pytest.raises(UserError, match="cut off"):
        load(cut, "3f2a", "mean", 6)
    other = tmp_path / "other"
    save_file({"x": torch.zeros(2)}, other)
    with pytest.raises(UserError, match="no difficulty predictor"):
        load(other, "3f2a", "mean", 6)


def test_a_file_with_tensors_missing_is_damaged(tmp_path: Path) -> None:
    network = DifficultyNetwork(6, hidden=8, layers=2)
    network.layers = 3
    save(tmp_path / "wrong", network, CARD)
    with pytest.raises(UserError, match="damaged"):
        load(tmp_path / "wrong", "3f2a", "mean", 6)
