"""Checkpoints are stored beside the steps; what could not be stored is told, counted, and ends the run in time."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from storages import Unreliable, storage
from written import write

from effrl.errors import RunError
from effrl.run.checkpoint import Checkpoints
from effrl.run.directory import RunDirectory
from effrl.run.mirror import MirrorWriter, SupersededError, newest
from effrl.run.uploads import BackgroundUploads, NoUploads


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    Unreliable.reset()
    yield
    Unreliable.reset()


class Stored:
    """A run directory whose checkpoints are stored."""

    def __init__(self, path: Path, wait_s: float = 30.0, failures: int = 3) -> None:
        self.told: list[str] = []
        self.run = RunDirectory(path)
        path.mkdir()
        self.run.write_config("run: {}\n")
        self.checkpoints = Checkpoints(self.run.checkpoints, keep=1)
        writer = MirrorWriter.begin(storage(), self.run, keep=1)
        self.uploads = BackgroundUploads(writer, self.run, self.run.ledger, wait_s, failures, self.told.append)

    async def save(self, step: int) -> None:
        """As the journal does."""
        await self.uploads.settled()
        write(self.checkpoints, step)
        await self.uploads.begin(step)

    @property
    def newest(self) -> int:
        found = newest(storage())
        return found.step if found else 0


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return Stored(tmp_path / "run")


def refuse(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Let so many uploads fail."""
    put, left = Unreliable.put_file, [times]

    def put_file(self: Unreliable, *arguments: Any, **named: Any) -> None:
        if left[0]:
            left[0] -= 1
            raise PermissionError("SlowDown")
        put(self, *arguments, **named)

    monkeypatch.setattr(Unreliable, "put_file", put_file)


async def test_checkpoints_are_stored_in_order(stored: Stored) -> None:
    for step in (1, 2, 3):
        await stored.save(step)
        await stored.uploads.settled()
        assert stored.newest == step
    measured = stored.uploads.metrics()
    assert measured["storage/failed"] == 0 and measured["time/store_s"] > 0 and stored.told == []
    assert stored.uploads.metrics()["time/store_s"] == 0


async def test_a_step_does_not_wait_but_the_next_checkpoint_does(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setattr(Unreliable, "before", staticmethod(lambda path: gate.wait(20) and None))
    await stored.save(1)
    assert stored.newest == 0 and (stored.run.checkpoints / "step_1").exists(), "it goes on beside the steps"
    threading.Timer(0.2, gate.set).start()
    await stored.save(2)
    await stored.uploads.settled()
    assert stored.newest == 2 and stored.told == [], "the first was whole when the second deleted it here"


async def test_a_failure_is_told_and_the_next_checkpoint_is_stored(
    stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, 1)
    await stored.save(1)
    await stored.save(2)
    await stored.uploads.settled()
    assert len(stored.told) == 1 and "step 1 is not stored" in stored.told[0] and "SlowDown" in stored.told[0]
    assert "\n" not in stored.told[0]
    assert stored.newest == 2 and stored.uploads.metrics()["storage/failed"] == 1


async def test_too_many_failures_in_a_row_end_the_run(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, 3)
    for step in (1, 2, 3):
        await stored.save(step)
    with pytest.raises(RunError, match="3 checkpoints in a row could not be stored"):
        await stored.save(4)
    assert stored.checkpoints.steps() == [3], "the newest is whole in the run directory"


async def test_a_success_between_failures_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = Stored(tmp_path / "run", failures=2)
    for step in (1, 3, 5):
        await stored.uploads.settled()  # or what is on its way would be refused
        refuse(monkeypatch, 1)
        await stored.save(step)
        await stored.save(step + 1)
    await stored.uploads.settled()
    assert stored.newest == 6 and len(stored.told) == 3


async def test_an_upload_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, gate = Stored(tmp_path / "run", wait_s=0.3), threading.Event()
    monkeypatch.setattr(Unreliable, "before", staticmethod(lambda path: gate.wait(20) and None))
    await stored.save(1)
    await stored.save(2)
    assert "longer than run.storage.wait_s" in stored.told[0]
    await stored.uploads.settled()
    assert "the upload before it still hangs" in stored.told[1]
    gate.set()
    assert stored.uploads._thread is not None
    stored.uploads._thread.join(20)
    assert stored.newest == 0, "what was given up leaves no manifest when it wakes up"
    await stored.save(3)
    await stored.uploads.settled()
    assert stored.newest == 3


async def test_who_was_superseded_ends(stored: Stored) -> None:
    await stored.save(1)
    await stored.uploads.settled()
    MirrorWriter.begin(storage(), stored.run, keep=1)
    await stored.save(2)
    with pytest.raises(SupersededError):
        await stored.uploads.settled()
    with pytest.raises(SupersededError):
        stored.uploads.close()


async def test_the_end_is_stored(stored: Stored) -> None:
    await stored.save(1)
    stored.run.report.write_text("report")
    stored.uploads.close()
    found = newest(storage())
    assert found is not None and "report.html" in found.files and not (stored.run.path / ".staged").exists()


async def test_an_end_that_is_not_stored_is_a_failure(stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    await stored.save(1)
    await stored.uploads.settled()
    refuse(monkeypatch, 1)
    stored.run.report.write_text("report")
    with pytest.raises(RunError, match="has not all of it"):
        stored.uploads.close()


async def test_a_run_without_a_checkpoint_has_nothing_to_store(stored: Stored) -> None:
    stored.uploads.close()
    assert newest(storage()) is None


async def test_a_run_without_a_storage_is_as_it_was() -> None:
    off = NoUploads()
    await off.settled()
    await off.begin(1)
    assert off.metrics() == {}
    off.close()
    off.abandon()
