"""Certainties on disk: the same ones back, and none of another model."""

import shutil
from pathlib import Path

import pytest

from effrl.errors import UserError
from effrl.models import TINY, fingerprint
from effrl.select.scores import Scores, load

SCORES = Scores("3f2a", "final_answer", "<answer> ", {"a": 0.25, "b": 1 / 3}, {"a": 1, "b": 2})


def test_round_trip(tmp_path: Path) -> None:
    SCORES.save(tmp_path / "scores.json")
    found = load(tmp_path / "scores.json", "3f2a", "final_answer", "<answer> ")
    assert found == SCORES
    assert found.of(["b", "a"]).tolist() == [1 / 3, 0.25]


@pytest.mark.parametrize(
    ("model", "target", "prefix", "word"),
    [
        ("77aa", "final_answer", "<answer> ", "model '3f2a', this run has '77aa'"),
        ("3f2a", "pseudo_answer", "<answer> ", "target 'final_answer', this run has 'pseudo_answer'"),
        ("3f2a", "final_answer", "#", "prefix '<answer> ', this run has '#'"),
    ],
)
def test_scores_of_anything_else_are_refused(tmp_path: Path, model: str, target: str, prefix: str, word: str) -> None:
    SCORES.save(tmp_path / "scores.json")
    with pytest.raises(UserError, match=word):
        load(tmp_path / "scores.json", model, target, prefix)  # type: ignore[arg-type]


def test_missing_damaged_and_strange_files(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    with pytest.raises(UserError, match="score the pool first"):
        load(file, "3f2a", "final_answer", "")
    for text in ('{"model": "3f', "[1]", '{"model": "3f2a"}', "3"):
        file.write_text(text)
        with pytest.raises(UserError, match="damaged"):
            load(file, "3f2a", "final_answer", "")


def test_a_prompt_without_a_score_is_named() -> None:
    with pytest.raises(UserError, match="1 of 2 prompts have no score, such as c"):
        SCORES.of(["a", "c"])


def test_a_fingerprint_follows_weights_tokenizer_and_template(tmp_path: Path) -> None:
    first = fingerprint(TINY)
    for name in ("model.safetensors", "tokenizer.json", "chat_template.jinja"):
        copy = tmp_path / name
        shutil.copytree(TINY, copy)
        assert fingerprint(copy) == first, "the same files elsewhere"
        with (copy / name).open("r+b") as file:
            file.seek(0, 2)
            file.write(b" ")
        assert fingerprint(copy) != first
