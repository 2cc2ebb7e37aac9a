"""Checkpoints exist whole or not at all, and damage is found before use."""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written import as_before, parts, write

from effrl.errors import UserError
from effrl.run.checkpoint import Checkpoint, Checkpoints, read_manifest, verify
from effrl.saved import Saved, SavedFile

RANK = """
import json, subprocess, sys
from dataclasses import asdict
from pathlib import Path
from effrl.run.files import written

subprocess.run(["mount", "-t", "tmpfs", "tmpfs", sys.argv[1]], check=True)
draft = Path(sys.argv[2])
names = ["hf/model.safetensors", "learner/state.pt"]
for name in names:
    (draft / name).parent.mkdir(parents=True)
    (draft / name).write_bytes(b"weights")
files = written(draft, [draft / name for name in names])
print(json.dumps({name: asdict(file) for name, file in files.items()}))
"""
"""A learner's rank on a node with a disk of its own where the driver's checkpoints are."""


def test_round_trip(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.latest() is None
    path = write(checkpoints, 3, accuracy=0.25)
    found = checkpoints.latest()
    assert found is not None and found[0] == path
    assert found[1] == Checkpoint(3, parts(path, 3), 0.25)


def test_a_state_with_numbers_as_keys_is_not_taken_for_damage(tmp_path: Path) -> None:
    """JSON makes text of them, which sorts otherwise; and a checkpoint that only looks damaged is lost as well."""
    checkpoints = Checkpoints(tmp_path, keep=1)
    draft = checkpoints.begin(1)
    said = {**parts(draft, 1), "labeller": Saved({}, {"seen": {2: "a", 10: "b"}})}
    path = checkpoints.seal(draft, Checkpoint(1, said))
    assert verify(path).parts["labeller"].state == {"seen": {"2": "a", "10": "b"}}


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


@settings(max_examples=15)  # each waits for a disk
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


def test_a_draft_is_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    write(checkpoints, 1)
    (checkpoints.begin(2) / "half").write_bytes(b"written")
    assert checkpoints.steps() == [1], "the old one stays until the new one is whole"
    checkpoints.begin(3)
    assert not (tmp_path / ".step_2.draft").exists(), "what a killed attempt left takes no space for ever"


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


# --- what the writers say


@pytest.mark.parametrize("seen", ["nothing", "a part", "another size"])
def test_a_file_that_cannot_be_seen_is_refused_and_nothing_is_deleted(tmp_path: Path, seen: str) -> None:
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints", keep=1)
    old = write(checkpoints, 20)
    draft = checkpoints.begin(40)
    said = parts(tmp_path / "elsewhere", 40)
    if seen != "nothing":
        parts(draft, 40)
    if seen == "a part":
        (draft / "learner" / "state.pt").unlink()
    elif seen == "another size":
        (draft / "learner" / "state.pt").write_bytes(b"stat")
    with pytest.raises(UserError, match="step 40 is refused") as error:
        checkpoints.seal(draft, Checkpoint(40, said))
    told = str(error.value)
    assert (
        "\n" not in told and "files of the learner" in told and said["learner"].files["learner/state.pt"].host in told
    )
    assert f"put run.dir ({tmp_path / 'run'}) on storage that all nodes share" in told
    assert checkpoints.steps() == [20] and verify(old).step == 20


@pytest.mark.parametrize("said", [{}, {"learner": Saved({}, {"version": 40, "ranks": 2})}])
def test_a_checkpoint_without_a_model_is_refused(tmp_path: Path, said: dict[str, Saved]) -> None:
    """An empty draft would verify: there is nothing in it that could differ."""
    checkpoints = Checkpoints(tmp_path, keep=1)
    write(checkpoints, 20)
    with pytest.raises(UserError, match="no part of the run wrote a model"):
        checkpoints.seal(checkpoints.begin(40), Checkpoint(40, said))
    assert checkpoints.steps() == [20]


def test_a_rank_that_writes_to_a_disk_of_its_own(tmp_path: Path) -> None:
    """Two mount namespaces stand for two nodes whose run directories have one path and two disks."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("THIS MACHINE ALLOWS NO MOUNT NAMESPACE: that ranks write elsewhere is tested by other means only")
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
    write(checkpoints, 20)
    draft = checkpoints.begin(40)
    command = ["unshare", "--mount", sys.executable, "-c", RANK, str(checkpoints.directory), str(draft)]
    rank = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert rank.returncode == 0, rank.stderr
    files = {name: SavedFile(**file) for name, file in json.loads(rank.stdout).items()}
    assert len(files) == 2 and not list(draft.iterdir()), "the rank sees files where the driver sees none"
    with pytest.raises(UserError, match="2 of 2 files of the learner"):
        checkpoints.seal(draft, Checkpoint(40, {"learner": Saved(files, {})}))
    assert checkpoints.steps() == [20]


def test_sealing_reads_no_contents(tmp_path: Path) -> None:
    """Who wrote a file has hashed it; reading it again would take minutes for a large model."""
    checkpoints = Checkpoints(tmp_path, keep=1)
    draft = checkpoints.begin(1)
    said = parts(draft, 1)
    (draft / "hf" / "model.safetensors").write_bytes(b"weightz 1")
    path = checkpoints.seal(draft, Checkpoint(1, said))
    with pytest.raises(UserError, match=r"model\.safetensors is damaged"):
        verify(path)


def test_a_checkpoint_of_an_earlier_version_is_refused_in_one_line(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    path = write(checkpoints, 10)
    as_before(path)
    with pytest.raises(UserError, match="format 1") as error:
        read_manifest(path)
    assert "\n" not in str(error.value) and f"model.path={path / 'hf'}" in str(error.value)
    assert checkpoints.best() == (10, 0.5), "reports of old runs go on"
