"""Attempts that end by the loss of a worker: the run goes on while it gets anywhere, and says why where it does not."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.driver import attempts as module
from actors.driver.attempts import RETRIES, attempts
from actors.wait import LostError
from effrl.errors import RunError, UserError
from effrl.run.directory import RunDirectory
from effrl.run.resume import StartPoint
from effrl.run.uploads import NoUploads


class Play:
    """Drivers that come so far each, and then lose somebody; one that is told None finishes, and an error is raised."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *steps: int | Exception | None) -> None:
        self.left, self.step, self.begun, self.without, self.kept = list(steps), 0, list[int](), list[str](), 0
        self.directory, self.stopping = RunDirectory(tmp_path), False
        monkeypatch.setattr(module, "Driver", self.driver)
        monkeypatch.setattr(module, "resume_point", lambda *_: StartPoint(tmp_path, step=self.step))

    def driver(self, config: Any, directory: Any, found: Any, start: StartPoint, *_: Any) -> Any:
        self.begun.append(start.step)

        async def run() -> bool:
            reached = self.left.pop(0)
            if reached is None:
                return True
            if isinstance(reached, Exception):
                raise reached
            self.step = reached
            raise LostError("learner-0 died during step", "learner-0")

        return SimpleNamespace(run=run, stopping=self.stopping)

    def __call__(self) -> bool:
        progress = SimpleNamespace(note=lambda line: None, resume=lambda rows: None)
        cluster = SimpleNamespace(begin_again=lambda without: self.without.append(without))
        found = SimpleNamespace(model=SimpleNamespace(path="tiny"))
        start = StartPoint(self.directory.path)

        def log(error: Exception) -> None:
            self.kept += 1

        return attempts(None, self.directory, found, start, progress, cluster, log, NoUploads())  # type: ignore[arg-type]


def test_it_goes_on_from_each_new_checkpoint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    steps = (1, 1, 2, 2, 2, 5, None)
    play = Play(monkeypatch, tmp_path, *steps)
    assert play()
    assert play.begun == [0, 1, 1, 2, 2, 2, 5]
    assert play.without == ["learner-0"] * 6 and play.kept == 6


def test_it_ends_where_it_gets_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    play = Play(monkeypatch, tmp_path, *[0] * 9)
    with pytest.raises(LostError, match="learner-0 died"):
        play()
    assert len(play.begun) == RETRIES


FULL = UserError("the workers of one node need 1 CPUs on 2 node(s), but 1 node(s) can hold them")


def test_what_is_left_has_no_room_for_another_attempt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A failed run, which a resume may go on with; not a mistake of the user."""
    play = Play(monkeypatch, tmp_path, 3, FULL)
    with pytest.raises(RunError, match="cannot go on: the workers of one node need"):
        play()


def test_a_mistake_of_the_user_stays_one_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        Play(monkeypatch, tmp_path, FULL)()
    assert caught.value is FULL


def test_a_loss_while_it_stops_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A node that is taken away ends the driver and its workers in any order."""
    play = Play(monkeypatch, tmp_path, 1, None)
    play.stopping = True
    assert not play()
    assert play.begun == [0] and play.kept == 1
