"""Checkpoints exist whole or not at all, and damage is found before use."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import write

from effrl.errors import UserError
from effrl.run.checkpoint import Checkpoints


def test_round_trip(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.latest() is None
    path = write(checkpoints, 3)
    assert checkpoints.latest() == (path, checkpoints.latest()[1])  # type: ignore[index]
    assert checkpoints.latest()[1]["version"] == 3  # type: ignore[index]


def test_only_the_last_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step in (2, 4, 6, 10):
        write(checkpoints, step)
    assert checkpoints.steps() == [6, 10]


def test_the_best_is_kept_besides(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.best() is None
    kept = []
    for step, accuracy in ((2, 0.3), (4, 0.5), (6, None), (8, 0.5), (10, 0.4), (12, 0.6), (14, None), (16, 0.1)):
        write(checkpoints, step, accuracy)
        kept.append(checkpoints.steps())
    assert kept == [[2], [2, 4], [4, 6], [4, 6, 8], [4, 8, 10], [10, 12], [12, 14], [12, 14, 16]]
    assert Checkpoints(tmp_path, keep=1).best() == (12, 0.6), "a resume knows it: it is read from the manifests"


@given(st.lists(st.sampled_from([None, 0.1, 0.2, 0.3]), min_size=1, max_size=8), st.integers(1, 3))
def test_the_best_of_what_is_left_is_the_best_of_all(accuracies: list[float | None], keep: int) -> None:
    with TemporaryDirectory() as directory:
        checkpoints = Checkpoints(Path(directory), keep)
        for step, accuracy in enumerate(accuracies, start=1):
            write(checkpoints, step, accuracy)
        known = {step: accuracy for step, accuracy in enumerate(accuracies, start=1) if accuracy is not None}
        best = min(known, key=lambda step: (-known[step], step), default=None)
        assert checkpoints.best() == (None if best is None else (best, known[best]))
        newest = list(range(1, len(accuracies) + 1))[-keep:]
        assert checkpoints.steps() == sorted({*newest, *([best] if best else [])})


def test_checkpoints_of_before_have_no_accuracy(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.seal(checkpoints.begin(1), 1, {"version": 1, "ranks": 1, "data": {}})
    assert checkpoints.best() is None


def test_a_draft_is_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    write(checkpoints, 1)
    (checkpoints.begin(2) / "half").write_bytes(b"written")
    assert checkpoints.steps() == [1], "the old one stays until the new one is whole"


@pytest.mark.parametrize("damage", ["flip", "delete", "truncate", "manifest", "version"])
def test_damage_is_one_clear_line(tmp_path: Path, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    path = write(checkpoints, 5)
    file = path / "hf" / "model.safetensors"
    if damage == "flip":
        file.write_bytes(b"weightz 5")
    elif damage == "truncate":
        file.write_bytes(b"")
    elif damage == "delete":
        file.unlink()
    elif damage == "version":
        manifest = path / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"version": 5', '"version": 6'))
    else:
        (path / "manifest.json").write_text('{"step": 5, "fil')
    with pytest.raises(UserError, match=r"damaged|missing") as error:
        checkpoints.latest()
    assert "\n" not in str(error.value) and "step_5" in str(error.value)
