"""What was scored, on disk: the same back, nothing of another model, and no line lost or torn."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from effrl.errors import UserError
from effrl.models import TINY, fingerprint
from effrl.select.ufo.cache import ScoreCache, ScoredPrompt, ScoringKey, digest_of
from effrl.select.ufo.picture import draw

KEY = ScoringKey("3f2a", "final_answer", "<answer> ", "plain")


def test_what_is_added_is_there_at_once(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path / "cache", KEY)
    assert cache.known == {}
    found = {"a": ScoredPrompt(1 / 3, 2), "b": ScoredPrompt(None, 900)}
    cache.add(found)
    cache.add({"c": ScoredPrompt(0.0, 1)})
    assert ScoreCache(tmp_path / "cache", KEY).known == {**found, "c": ScoredPrompt(0.0, 1)} == cache.known


def test_a_template_of_messages_comes_back_as_it_was(tmp_path: Path) -> None:
    key = dataclasses.replace(KEY, template=({"role": "user", "content": "{prompt}"},), system="Be brief.")
    ScoreCache(tmp_path / "cache", key).add({"a": ScoredPrompt(0.5, 2)})
    assert ScoreCache(tmp_path / "cache", key).known == {"a": ScoredPrompt(0.5, 2)}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"model": "77aa"}, "made with model '3f2a', not '77aa'"),
        ({"target": "full_solution"}, "made with target 'final_answer', not 'full_solution'"),
        ({"prefix": "#"}, "made with prefix '<answer> ', not '#'"),
        ({"template": "boxed"}, "made with template 'plain', not 'boxed'"),
        ({"system": "Be brief."}, "made with system None, not 'Be brief.'"),
    ],
)
def test_scores_of_anything_else_are_refused(tmp_path: Path, change: dict[str, str], word: str) -> None:
    ScoreCache(tmp_path / "cache", KEY)
    with pytest.raises(UserError, match=word):
        ScoreCache(tmp_path / "cache", dataclasses.replace(KEY, **change))  # type: ignore[arg-type]


def test_a_torn_line_is_cut_off_and_the_next_is_not_glued_to_it(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path / "cache", KEY)
    cache.add({"a": ScoredPrompt(0.25, 2), "b": ScoredPrompt(0.5, 2)})
    text = cache.path.read_text()
    cache.path.write_text(text[:-7])
    torn = ScoreCache(tmp_path / "cache", KEY)
    assert torn.known == {"a": ScoredPrompt(0.25, 2)}
    torn.add({"b": ScoredPrompt(0.5, 2)})
    assert torn.path.read_text() == text


def test_damaged_strange_and_unwritable_files(tmp_path: Path) -> None:
    file = tmp_path / "cache"
    for text in ('{"model": "3f\n', "[1]\n", '{"model": "3f2a"}\n', "3\n", '{"id": 1}\n{"id": 2}\n'):
        file.write_text(text)
        with pytest.raises(UserError, match="damaged or no cache"):
            ScoreCache(file, KEY)
    with pytest.raises(UserError, match="cannot write"):
        ScoreCache(tmp_path, KEY)


def test_an_edited_row_is_another_one() -> None:
    rows = {digest_of("1+1=", "2"), digest_of("1+1=", "3"), digest_of(({"role": "user", "content": "1+1="},), "2")}
    assert len(rows) == 3


def test_a_picture_of_one_and_of_many(tmp_path: Path) -> None:
    draw([0.5], [1], [0], tmp_path / "one.png")
    draw([0.1, 0.5, 0.9], [1, 20, 3], [1], tmp_path / "many.png")
    assert all((tmp_path / name).read_bytes().startswith(b"\x89PNG") for name in ("one.png", "many.png"))


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
