"""Which weights are served, under which name."""

import shutil
from pathlib import Path

import pytest
from written import write

from deploy.serve.policy.source import WeightsSource
from effrl.errors import UserError
from effrl.models import TINY
from effrl.run.checkpoint import Checkpoints


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with checkpoints of two steps, the first of which was the better one."""
    path = tmp_path / "demo"
    path.mkdir()
    (path / "config.yaml").write_text("data: {train: 'tasks:chain'}\nrollout: {stop: ['</a>', 2]}\n")
    for step, accuracy in ((10, 0.625), (20, 0.5)):
        write(Checkpoints(path / "checkpoints", keep=2), step, accuracy)
    return path


@pytest.mark.parametrize(
    ("which", "name", "moves"),
    [("best", "demo@step-10", True), ("newest", "demo@step-20", True), ("10", "demo@step-10", False)],
)
def test_of_a_run_it_is_what_is_asked_for(run: Path, which: str, name: str, moves: bool) -> None:
    source = WeightsSource(str(run), which)
    assert (source.wanted().name, source.name, source.moves) == (name, "demo", moves)
    assert source.manner.stop == ("</a>", 2), "it is sampled as the run did"


def test_a_newer_checkpoint_is_wanted_and_so_is_another_one_of_the_same_step(run: Path) -> None:
    source = WeightsSource(str(run), "newest")
    before = source.wanted()
    assert source.wanted() == before
    write(Checkpoints(run / "checkpoints", keep=2), 20, accuracy=0.75)  # by a run that was taken back
    again = source.wanted()
    assert again.name == before.name and again != before
    write(Checkpoints(run / "checkpoints", keep=2), 30)
    assert source.wanted().name == "demo@step-30"


@pytest.mark.parametrize("which", ["30", "last", "-1"])
def test_a_checkpoint_that_is_not_there(run: Path, which: str) -> None:
    with pytest.raises(UserError, match=r"choose best, newest or one of \[10, 20\]"):
        WeightsSource(str(run), which).wanted()


def test_a_checkpoint_or_a_model_stays(run: Path) -> None:
    fixed = WeightsSource(str(run / "checkpoints" / "step_20"))
    assert (fixed.wanted().name, fixed.name, fixed.moves) == ("demo@step-20", "demo", False)
    assert fixed.manner.stop == ("</a>", 2)
    model = WeightsSource("tiny")
    assert (model.wanted().name, model.wanted().model, model.moves) == ("tiny", TINY.resolve(), False)


def test_a_damaged_checkpoint_is_not_proven(run: Path) -> None:
    source = WeightsSource(str(run), "newest")
    (run / "checkpoints" / "step_20" / "hf" / "model.safetensors").write_bytes(b"other")
    with pytest.raises(UserError, match=r"model\.safetensors is damaged"):
        source.prove(source.wanted())


def test_the_digest_is_of_the_tensors(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(TINY, copy)
    digests = {name: WeightsSource(name) for name in ("tiny", "tiny-sound", str(copy))}
    found = {name: source.prove(source.wanted()) for name, source in digests.items()}
    assert found["tiny"] == found[str(copy)] != found["tiny-sound"]
