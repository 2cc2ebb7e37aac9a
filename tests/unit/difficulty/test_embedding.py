"""Embeddings: the same one text at a time, kept by model and texts, and never those of another."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from effrl.difficulty import embedding as module
from effrl.difficulty.embedding import embedded
from effrl.errors import UserError
from effrl.models import BUILT_IN, TINY

TEXTS = ["12+34=", "1a5=[-2,2]", "~Q(qva)=", "7", "C:E!C;E:EMC?", "12+34="]


def one_by_one(texts: list[str]) -> np.ndarray:
    """Without padding, batches or masks."""
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(TINY, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(TINY)
    with torch.no_grad():
        states = [model(torch.tensor([tokenizer(text)["input_ids"]])).last_hidden_state[0] for text in texts]
    return np.stack([state.mean(0).numpy() for state in states])


def test_a_mean_of_hidden_states_in_the_order_of_the_texts(tmp_path: Path) -> None:
    found = embedded(TINY, TEXTS, tmp_path)
    assert found.rows.shape == (6, 128) and found.rows.dtype == np.float32
    np.testing.assert_allclose(found.rows, one_by_one(TEXTS), atol=1e-5)


def test_batches_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = embedded(TINY, TEXTS, tmp_path / "whole")
    monkeypatch.setattr(module, "_TOKENS", 20)
    np.testing.assert_allclose(embedded(TINY, TEXTS, tmp_path / "cut").rows, whole.rows, atol=1e-5)


def test_made_once_per_model_and_texts(tmp_path: Path) -> None:
    first = embedded(TINY, TEXTS, tmp_path)
    again = embedded(TINY, TEXTS, tmp_path)
    assert first.seconds is not None and again.seconds is None
    assert isinstance(again.rows, np.memmap) and not again.rows.flags.writeable
    np.testing.assert_array_equal(again.rows, first.rows)
    others = [embedded(TINY, TEXTS[:5], tmp_path), embedded(TINY, TEXTS[::-1], tmp_path)]
    others.append(embedded(BUILT_IN["tiny-sound"], TEXTS, tmp_path))
    assert all(other.seconds is not None for other in others), "neither other prompts nor another model"
    assert len(list(tmp_path.iterdir())) == 4


def test_texts_are_told_apart_wherever_they_are_cut(tmp_path: Path) -> None:
    paths = {embedded(TINY, texts, tmp_path).path for texts in (["1", "2 3"], ["1 2", "3"], ["12", "3"], ["1", "23"])}
    assert len(paths) == 4


def test_a_file_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    first = embedded(TINY, TEXTS, tmp_path)
    expected = np.array(first.rows)
    first.path.write_bytes(first.path.read_bytes()[:-100])
    again = embedded(TINY, TEXTS, tmp_path)
    assert again.seconds is not None
    np.testing.assert_array_equal(again.rows, expected)


def test_a_text_is_cut_where_the_context_ends(tmp_path: Path) -> None:
    longest = "1" * 2048
    rows = embedded(TINY, [longest, longest + "2" * 50], tmp_path).rows
    np.testing.assert_allclose(rows[0], rows[1], atol=1e-5)


def test_a_model_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "none of this name", "max_position_embeddings": 8}')
    with pytest.raises(UserError, match=r"cannot be loaded for embeddings: .* another select\.embeddings") as caught:
        embedded(model, ["1"], tmp_path)
    assert "\n" not in str(caught.value)


@given(st.lists(st.integers(1, 60_000), min_size=1, max_size=40))
def test_batches_hold_every_text_once_within_the_budget(lengths: list[int]) -> None:
    batches = list(module._batches(lengths))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= module._TOKENS
