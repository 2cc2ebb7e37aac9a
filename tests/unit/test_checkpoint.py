"""Checkpoints exist whole or not at all, and damage is found before use."""

from pathlib import Path

import pytest

from effrl.checkpoint import Checkpoints
from effrl.errors import UserError


def write(checkpoints: Checkpoints, step: int) -> Path:
    draft = checkpoints.begin(step)
    (draft / "hf").mkdir()
    (draft / "hf" / "model.safetensors").write_bytes(b"weights %d" % step)
    (draft / "state.pt").write_bytes(b"state")
    return checkpoints.seal(draft, step, {"version": step, "ranks": 1, "data": {"epoch": 0}})


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
