"""A reader of a storage sees one whole checkpoint or another, wherever its writer dies and whoever else writes."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storages import Died, Unreliable, storage, tree
from written import write

from effrl.errors import UserError
from effrl.run.checkpoint import Checkpoints
from effrl.run.contents import Staging, contents
from effrl.run.directory import RunDirectory
from effrl.run.mirror import GivenUpError, Membership, MirrorWriter, StoredRun, SupersededError, fetch, newest
from effrl.run.storage import StorageError


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    Unreliable.reset()
    yield
    Unreliable.reset()


class Machine:
    """A run directory, and the attempt at its run that writes to the storage."""

    def __init__(self, path: Path) -> None:
        self.run = RunDirectory(path)
        if not path.exists():
            path.mkdir(parents=True)
            self.run.write_config("run: {}\n")
        self.checkpoints = Checkpoints(self.run.checkpoints, keep=1)
        self.writer = MirrorWriter.begin(storage(), self.run, keep=1)
        self.staging = Staging(path / ".staged")

    def learn(self, step: int) -> dict[str, bytes]:
        """Do a step and write its checkpoint; the run as a reader may see it from now on."""
        self.run.groups.mkdir(exist_ok=True)
        (self.run.groups / f"step_{step:06}.jsonl").write_text(f"groups of step {step}\n")
        for log in (self.run.metrics, self.run.groups / "rolled.jsonl"):
            with log.open("a") as file:
                file.write(f"{log.stem}: step {step} of {self.run.path.name}\n")
        with closing(sqlite3.connect(self.run.ledger)) as ledger:
            ledger.execute("CREATE TABLE IF NOT EXISTS bought (step INTEGER)")
            ledger.execute("INSERT INTO bought VALUES (?)", (step,))
            ledger.commit()
        write(self.checkpoints, step)
        return self.seen()

    def seen(self) -> dict[str, bytes]:
        return {name: content for name, content in tree(self.run).items() if name != "ledger.sqlite"}

    def store(self, step: int) -> StoredRun:
        ledger = ("ledger.sqlite", self.run.ledger)
        found = self.writer.store(step, contents(self.run), ledger, self.staging)
        self.writer.prune()
        return found


def read(tmp_path: Path) -> tuple[StoredRun | None, dict[str, bytes]]:
    """What a reader on another machine gets; the ledger apart."""
    there = tmp_path / "reader"
    shutil.rmtree(there, ignore_errors=True)
    there.mkdir()
    found = fetch(storage(), there)
    files = tree(RunDirectory(there))
    if (ledger := files.pop("ledger.sqlite", None)) is not None:
        assert ledger.startswith(b"SQLite format 3")
    return found, files


def bought(run: Path) -> list[int]:
    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger:
        return [row[0] for row in ledger.execute("SELECT step FROM bought ORDER BY step")]


def test_a_reader_gets_the_run_back(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "run")
    whole = machine.learn(1)
    machine.store(1)
    found, files = read(tmp_path)
    assert found is not None and found.step == 1 and files == whole
    assert bought(tmp_path / "reader") == [1]
    assert not (tmp_path / "reader" / ".storage.json").exists() and not machine.staging.folder.joinpath("x").exists()


def test_an_empty_storage_is_no_run(tmp_path: Path) -> None:
    assert read(tmp_path) == (None, {})
    Machine(tmp_path / "run")
    assert read(tmp_path) == (None, {}), "an attempt that has stored nothing"


@pytest.mark.parametrize("torn", [False, True], ids=["objects", "a disk"])
@pytest.mark.parametrize("late", [0, 3])
def test_wherever_an_upload_dies_a_reader_sees_the_old_or_the_new(tmp_path: Path, torn: bool, late: int) -> None:
    """Every call of the third upload: the first two are there before, so that something is deleted too."""
    ends, deaths = set(), 0
    for death in range(1, 100):
        shutil.rmtree(tmp_path, ignore_errors=True)
        Unreliable.reset()
        Unreliable.late = late
        machine = Machine(tmp_path / "run")
        for step in (1, 2):
            old = machine.learn(step)
            machine.store(step)
        Unreliable.calls += late  # time passes between checkpoints
        new = machine.learn(3)
        Unreliable.dies_at, Unreliable.torn = Unreliable.calls + death, torn
        try:
            machine.store(3)
        except Died:
            deaths += 1
        else:
            break
        Unreliable.dies_at = None
        found, files = read(tmp_path)
        assert found is not None and files == {2: old, 3: new}[found.step]
        ends.add(found.step)
        Unreliable.calls += late
        _goes_on(tmp_path)
    assert ends == {2, 3} and deaths > 8, "writes of files, of the manifest, and deletions"


def _goes_on(tmp_path: Path) -> None:
    """What the dead left is no hindrance for who comes after, and is removed by them."""
    machine = Machine(_fetched(tmp_path))
    new = machine.learn(4)
    machine.store(4)
    Unreliable.calls += Unreliable.late
    found, files = read(tmp_path)
    assert found is not None and found.step == 4 and files == new
    machine.learn(5)
    machine.store(5)
    Unreliable.calls += Unreliable.late
    machine.learn(6)
    machine.store(6)
    Unreliable.calls += Unreliable.late
    machine.writer.prune()
    mine = f"/files/{machine.writer.membership.attempt}/"
    assert all(mine in name for name in Unreliable.store if "/files/" in name), "nothing of the dead is left"
    assert len([name for name in Unreliable.store if "/manifests/" in name]) == 2


def _fetched(tmp_path: Path) -> Path:
    """The stored run on another machine."""
    run = RunDirectory(tmp_path / "other")
    run.path.mkdir()
    found = fetch(storage(), run.path)
    assert found is not None
    Membership(found.run, found.attempt).write(run)
    return run.path


def test_a_writer_that_was_taken_for_dead_ends(tmp_path: Path) -> None:
    old = Machine(tmp_path / "run")
    old.learn(1)
    old.store(1)
    new = Machine(_fetched(tmp_path))
    for step in (2, 3, 4):
        old.learn(step)
    with pytest.raises(SupersededError, match="another attempt at this run has taken over"):
        old.store(4)
    whole = new.learn(2)
    new.store(2)
    assert read(tmp_path)[1] == whole


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(["old", "new"]), min_size=1, max_size=8), st.integers(0, 40), st.integers(0, 40))
def test_a_stale_writer_never_hides_what_the_later_one_stored(
    tmp_path_factory: pytest.TempPathFactory, turns: list[str], begins: int, late: int
) -> None:
    """The later attempt begins at any write of the earlier one, whose listings may be late; then they take turns."""
    tmp_path = tmp_path_factory.mktemp("stale")
    Unreliable.reset()
    old = Machine(tmp_path / "run")
    for step in (1, 2):
        old.learn(step)
        old.store(step)
    later: list[Machine] = []

    def begin(path: str) -> None:
        if not later and Unreliable.calls >= start + begins:
            Unreliable.before = staticmethod(lambda path: None)
            later.append(Machine(_fetched(tmp_path)))

    old.learn(3)
    Unreliable.late = late
    Unreliable.calls += late  # time passes between checkpoints
    start, Unreliable.before = Unreliable.calls, staticmethod(begin)
    step = {"old": 3, "new": 100}
    _try(old, 3)
    Unreliable.before = staticmethod(lambda path: None)
    Unreliable.calls += late
    new = later[0] if later else Machine(_fetched(tmp_path))
    stored: dict[str, bytes] | None = None
    for who in turns:
        step[who] += 1
        whole = (machine := {"old": old, "new": new}[who]).learn(step[who])
        if _try(machine, step[who]) and who == "new":
            stored = whole
        Unreliable.calls += late
        found, files = read(tmp_path)
        assert found is not None and (stored is None or files == stored)


def _try(machine: Machine, step: int) -> bool:
    try:
        machine.store(step)
    except SupersededError:
        return False
    return True


def test_what_did_not_change_is_sent_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "run")
    machine.learn(1)
    machine.store(1)
    written = {name for _, name, there in Unreliable.history if there}
    machine.learn(2)
    machine.store(2)
    again = {name for _, name, there in Unreliable.history if there} - written
    assert len(again) == 7, "metrics, rolled, groups, ledger, weights and manifest of step 2, and the stored manifest"


def test_what_grows_meanwhile_is_stored_as_it_was(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "run")
    whole = machine.learn(1)
    found = contents(machine.run)
    with machine.run.metrics.open("a") as log:
        log.write("half a li")
    machine.writer.store(1, found, None, machine.staging)
    assert read(tmp_path)[1] == whole


def test_damage_is_found(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "run")
    machine.learn(1)
    before = machine.seen()
    machine.store(1)
    machine.learn(2)
    found = machine.store(2)
    name = f"/run/{found.object('checkpoints/step_2/hf/model.safetensors')}"
    Unreliable.store[name] = _flipped(name)
    with pytest.raises(UserError, match=r"step 2: checkpoints/step_2/hf/model\.safetensors .* is damaged") as told:
        read(tmp_path)
    assert "\n" not in str(told.value) and found.name in str(told.value)
    storage().remove([found.name])
    assert read(tmp_path)[1] == before, "as the line says"


def _flipped(name: str) -> object:
    content = bytearray(Unreliable.store[name].getvalue())
    content[0] ^= 1
    MemoryObject = type(Unreliable.store[name])
    return MemoryObject(Unreliable(), name, bytes(content))


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "run")
    machine.learn(1)
    found = machine.store(1)
    storage().remove([found.object("metrics.jsonl")])
    with pytest.raises(UserError, match="a file of it is missing"):
        read(tmp_path)


def test_what_is_given_up_leaves_no_manifest(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "run")
    machine.learn(1)
    with pytest.raises(GivenUpError):
        machine.writer.store(1, contents(machine.run), None, machine.staging, given_up=lambda: True)
    assert newest(storage()) is None


def test_another_run_is_refused(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "run")
    machine.learn(1)
    machine.store(1)
    with pytest.raises(UserError, match="holds a run, and it is not that of"):
        Machine(tmp_path / "another")


def test_a_path_out_of_the_run_is_refused(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "run")
    machine.learn(1)
    found = contents(machine.run)
    found["../outside"] = found["config.yaml"]
    machine.writer.store(1, found, None, machine.staging)
    with pytest.raises(UserError, match="outside of a run"):
        read(tmp_path)


def test_the_best_checkpoint_is_kept_besides_the_newest(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "run")
    for step, accuracy in ((1, 0.2), (2, 0.9), (3, 0.5)):
        write(machine.checkpoints, step, accuracy)
    assert {name.split("/")[1] for name in contents(machine.run) if name.startswith("checkpoints")} == {
        "step_2",
        "step_3",
    }


def test_a_probe_says_what_cannot_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    storage().probe()
    assert not [name for name in Unreliable.store if "probe" in name], "it cleans up"

    def refused(*_: object, **__: object) -> None:
        raise PermissionError("AccessDenied")

    for method, told in (("pipe_file", "write"), ("find", "list"), ("cat_file", "read"), ("rm", "delete")):
        with monkeypatch.context() as patch:
            patch.setattr(Unreliable, method, refused)
            with pytest.raises(UserError, match=f"run.storage: unreliable://run: cannot {told} .*AccessDenied"):
                storage().probe()
    assert issubclass(StorageError, Exception)
