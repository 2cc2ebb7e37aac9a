"""The checkpoint that the journal makes of a run's parts: complete or refused, and without holding up the driver."""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_actor import Method
from written import parts, write

from actors.driver.journal import RunJournal
from actors.learner.actor import LearnerRank
from actors.learner.group import LearnerGroup
from actors.learner.service import LearnerService
from effrl.config.schema import Config
from effrl.errors import RunError, UserError
from effrl.run import checkpoint
from effrl.run.checkpoint import Checkpoints, verify
from effrl.run.metrics import Stopwatch
from effrl.run.resume import StartPoint
from effrl.run.uploads import NoUploads, Uploads
from effrl.saved import Saved, SavedFile
from effrl.types import Update


class Written:
    """A part that writes as it is told: into the draft, or where the driver does not look."""

    def __init__(self, name: str, elsewhere: Path | None = None) -> None:
        self.name, self.elsewhere = name, elsewhere
        self.loaded: list[tuple[Path, Mapping[str, Any]]] = []

    async def save(self, into: Path) -> Saved:
        return parts(self.elsewhere or into, 7)[self.name]

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        self.loaded.append((path, state))


def journal(checkpoints: Checkpoints, *chosen: Written, uploads: Uploads | None = None) -> RunJournal:
    given: dict[str, Any] = {field.name: None for field in fields(RunJournal) if not field.name.startswith("_")}
    chosen_parts = {"checkpoints": checkpoints, "parts": chosen, "uploads": uploads or NoUploads()}
    made = RunJournal(**{**given, **chosen_parts, "progress": SimpleNamespace(note=print)})
    made._unsaved, made._accuracy = Update(7, 7, learned=True), 0.5
    return made


async def test_a_checkpoint_is_what_its_parts_say(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
    written = journal(checkpoints, Written("learner"), Written("data"))
    await written.save()
    manifest = verify(checkpoints.directory / "step_7")
    assert manifest.parts.keys() == {"learner", "data"} and manifest.accuracy == 0.5
    checkpoints.begin(8)
    await written.save()
    assert (checkpoints.directory / ".step_8.draft").exists(), "what is saved is not saved again"


async def test_a_checkpoint_is_stored_once_it_is_sealed_and_none_is_deleted_on_its_way(tmp_path: Path) -> None:
    checkpoints, calls = Checkpoints(tmp_path / "checkpoints", keep=1), list[tuple[str, list[int]]]()

    class Watched(NoUploads):
        async def settled(self) -> None:
            calls.append(("settled", checkpoints.steps()))

        async def begin(self, step: int) -> None:
            calls.append((f"begin {step}", checkpoints.steps()))

    write(checkpoints, 5)
    written = journal(checkpoints, Written("learner"), Written("data"), uploads=Watched())
    await written.save()
    assert calls == [("settled", [5]), ("begin 7", [7])]


async def test_a_part_that_writes_to_another_disk_costs_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
    write(checkpoints, 5)
    torn = journal(checkpoints, Written("learner", elsewhere=tmp_path / "elsewhere"))
    with pytest.raises(UserError, match="files of the learner"):
        await torn.save()
    assert checkpoints.steps() == [5] and verify(checkpoints.directory / "step_5")


async def test_signals_and_deadlines_are_served_while_a_checkpoint_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk has time only after something else was done; waited for in the event loop, that would be never."""
    served = threading.Event()
    monkeypatch.setattr(checkpoint, "sync", lambda path: waited.append(served.wait(20)))
    waited: list[bool] = []
    asyncio.get_running_loop().call_later(0.1, served.set)
    await journal(Checkpoints(tmp_path / "checkpoints", keep=1), Written("learner"), Written("data")).save()
    assert all(waited) and len(waited) > 3


async def test_a_resume_gives_each_part_its_own(tmp_path: Path) -> None:
    """A part that the checkpoint has not was switched on since, and starts anew."""
    learner, new = Written("learner"), Written("process")
    start = StartPoint(tmp_path, 7, 7, 2, tmp_path / "step_7", parts(tmp_path, 7))
    await start.restore((learner, new))
    assert learner.loaded == [(tmp_path / "step_7", {"version": 7, "ranks": 1})] and new.loaded == []
    await StartPoint(tmp_path).restore((new,))
    assert new.loaded == []


# --- the learner's ranks


class Rank:
    def __init__(self, files: dict[str, SavedFile]) -> None:
        self.save = Method(lambda checkpoint: files)


async def test_what_all_ranks_wrote_is_the_learners(tmp_path: Path) -> None:
    one, two = ({f"learner/{rank}.pt": SavedFile(rank, "d", f"node-{rank}")} for rank in (1, 2))
    saved = await learner(Rank(one), Rank(two)).save(tmp_path)
    assert saved == Saved({**one, **two}, {"version": 3, "ranks": 2})


async def test_a_rank_that_wrote_nothing_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="learner-1 wrote nothing"):
        await learner(Rank({"learner/0.pt": SavedFile(1, "d")}), Rank({})).save(tmp_path)


def test_a_node_that_does_not_see_the_run_is_told_of_before_anything_is_trained(tmp_path: Path) -> None:
    rank = LearnerRank.__new__(LearnerRank)
    rank.name = "learner-1"
    (tmp_path / "config.yaml").touch()
    rank.sees(tmp_path / "config.yaml")
    with pytest.raises(UserError, match=r"learner-1 runs: put run\.dir on storage that all nodes share"):
        rank.sees(tmp_path / "elsewhere" / "config.yaml")


def learner(*ranks: Rank) -> LearnerService:
    config = Config.model_validate({"data": {"train": "tasks:chain"}})
    group = LearnerGroup({f"learner-{index}": rank for index, rank in enumerate(ranks)}, 5.0)
    return LearnerService(group, config, 3, Stopwatch(), 64)
