"""Which checkpoint a path names."""

from pathlib import Path

import pytest
from written import write

from effrl.errors import UserError
from effrl.run.checkpoint import Checkpoints
from effrl.run.trained import find


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with checkpoints of two steps, the first of which was the better one."""
    path = tmp_path / "demo"
    path.mkdir()
    (path / "config.yaml").write_text("run: {}")
    checkpoints = Checkpoints(path / "checkpoints", keep=2)
    for step, accuracy in ((10, 0.625), (20, 0.5)):
        write(checkpoints, step, accuracy)
    return path


def test_of_a_run_it_is_the_best_by_dev(run: Path) -> None:
    found = find(run)
    assert found is not None and found.model == run / "checkpoints" / "step_10" / "hf"
    assert found.name == f"{run}, step 10 (best by dev: 0.62)"


def test_without_a_dev_set_it_is_the_newest(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("run: {}")
    for step in (10, 20):
        write(Checkpoints(tmp_path / "checkpoints", keep=2), step)
    found = find(tmp_path)
    assert found is not None and found.name == f"{tmp_path}, step 20 (the newest)"


@pytest.mark.parametrize("inside", ["", "hf"])
def test_a_checkpoint_is_itself(run: Path, inside: str) -> None:
    found = find(run / "checkpoints" / "step_20" / inside)
    assert found is not None and found.name == f"{run}, step 20" and found.run.config.is_file()


def test_what_is_neither(run: Path, tmp_path: Path) -> None:
    assert find(tmp_path) is None and find(Path("tiny")) is None and find(Path("Qwen/Qwen2.5-0.5B")) is None


def test_damage_of_the_model_is_found_and_no_other_file_is_read(run: Path) -> None:
    checkpoint = run / "checkpoints" / "step_10"
    (checkpoint / "learner" / "state.pt").write_bytes(b"other")
    assert find(run) is not None
    (checkpoint / "hf" / "model.safetensors").write_bytes(b"other")
    with pytest.raises(UserError, match=r"model\.safetensors is damaged"):
        find(run)


def test_a_run_without_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("run: {}")
    with pytest.raises(UserError, match="has no checkpoint yet"):
        find(tmp_path)
