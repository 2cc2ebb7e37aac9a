"""The run directory: nothing that is kept is overwritten, and no two processes write into one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from effrl.errors import UserError
from effrl.run.directory import Claim, RunDirectory, claim_existing, claim_new

Hold = Callable[[Path], Any]


def finish(directory: RunDirectory, claim: Claim) -> Path:
    """Leave a run behind, as a process that has ended."""
    directory.config.write_text("run: {}")
    claim.release()
    return directory.path


def test_a_run_gets_the_directory_that_it_wants(tmp_path: Path) -> None:
    directory, claim = claim_new(tmp_path / "runs" / "demo")
    claim.release()
    assert directory.path == tmp_path / "runs" / "demo" and directory.path.is_dir()


def test_a_kept_run_is_never_overwritten(tmp_path: Path) -> None:
    names = [finish(*claim_new(tmp_path / "demo")).name for _ in range(3)]
    assert names == ["demo", "demo-2", "demo-3"]


def test_a_directory_without_a_run_is_used(tmp_path: Path) -> None:
    """What failed before it wrote its config, or what the user made, would otherwise leave a gap each time."""
    _, claim = claim_new(tmp_path / "demo")
    claim.release()
    directory, claim = claim_new(tmp_path / "demo")
    claim.release()
    assert directory.path.name == "demo"


def test_a_name_with_dots_is_kept_whole(tmp_path: Path) -> None:
    """``with_suffix`` and the like would make ``lr-1`` of ``lr-1.5``."""
    names = [finish(*claim_new(tmp_path / "lr-1.5")).name for _ in range(2)]
    assert names == ["lr-1.5", "lr-1.5-2"]


def test_another_process_cannot_claim_it(tmp_path: Path, hold: Hold) -> None:
    """Two writers would mix their metrics, groups and checkpoints."""
    holder = hold(tmp_path / "demo")
    for claim in (claim_new, lambda path: Claim(RunDirectory(path))):
        with pytest.raises(UserError, match=rf"demo is in use by process {holder.pid}: wait for it"):
            claim(tmp_path / "demo")


def test_nor_can_the_same_process_twice(tmp_path: Path) -> None:
    _, claim = claim_new(tmp_path / "demo")
    with pytest.raises(UserError, match="in use"):
        claim_new(tmp_path / "demo")
    claim.release()


def test_a_refused_claim_disturbs_nobody(tmp_path: Path, hold: Hold) -> None:
    """Closing another descriptor of the file would drop a POSIX lock, though not this kind; and the name must stay."""
    holder = hold(tmp_path / "demo")
    for _ in range(3):
        with pytest.raises(UserError, match=f"process {holder.pid}"):
            claim_new(tmp_path / "demo")


@pytest.mark.parametrize("end", ["kill", "close"])
def test_the_lock_ends_with_its_process(tmp_path: Path, hold: Hold, end: str) -> None:
    """After SIGKILL nobody can clean up: a lock that stays would have to be deleted by hand, on a guess."""
    holder = hold(tmp_path / "demo")
    if end == "kill":
        holder.kill()
    else:
        holder.stdin.close()
    holder.wait(timeout=30)
    directory, claim = claim_new(tmp_path / "demo")
    claim.release()
    assert directory.path.name == "demo"


def test_a_shorter_process_id_replaces_a_longer_one(tmp_path: Path, hold: Hold) -> None:
    """Written over each other, ``12345`` and ``678`` would name process 67845."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / ".lock").write_text("9" * 20)
    holder = hold(tmp_path / "demo")
    assert (tmp_path / "demo" / ".lock").read_text() == str(holder.pid)


def test_only_a_run_can_be_gone_on_with(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match=r"holds no run \(it has no config\.yaml\); `effrl train` starts one"):
            claim_existing(path)
    assert not (tmp_path / "missing").exists(), "a misspelt name leaves no directory behind"


def test_going_on_keeps_the_directory(tmp_path: Path) -> None:
    path = finish(*claim_new(tmp_path / "demo"))
    directory, claim = claim_existing(path)
    claim.release()
    assert directory.path == path


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write a run to .*file/demo \(Not a directory\): choose another"):
        claim_new(tmp_path / "file" / "demo")
