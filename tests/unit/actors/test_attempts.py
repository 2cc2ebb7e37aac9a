"""Attempts that end by the loss of a worker: the run goes on while it gets anywhere, and says why where it does not."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.driver import attempts as module
from actors.driver.attempts import RETRIES, attempts
from actors.wait import LostError
from effrl.run.directory import RunDirectory
from effrl.run.resume import StartPoint


class Play:
    """Drivers that come so far each, and then lose somebody; one that is told None finishes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *steps: int | None) -> None:
        self.left, self.step, self.begun, self.without, self.kept = list(steps), 0, list[int](), list[str](), 0
        self.directory = RunDirectory(tmp_path)
        monkeypatch.setattr(module, "Driver", self.driver)
        monkeypatch.setattr(module, "resume_point", lambda *_: StartPoint(tmp_path, step=self.step))

    def driver(self, config: Any, directory: Any, found: Any, start: StartPoint, *_: Any) -> Any:
        self.begun.append(start.step)

        async def run() -> bool:
            reached = self.left.pop(0)
            if reached is None:
                return True
            self.step = reached
            raise LostError("learner-0 died during step", "learner-0")

        return SimpleNamespace(run=run)

    def __call__(self) -> bool:
        progress = SimpleNamespace(note=lambda line: None, resume=lambda rows: None)
        cluster = SimpleNamespace(begin_again=lambda without: self.without.append(without))
        found = SimpleNamespace(model=SimpleNamespace(path="tiny"))
        start = StartPoint(self.directory.path)

        def log(error: Exception) -> None:
            self.kept += 1

        return attempts(None, self.directory, found, start, progress, cluster, log)  # type: ignore[arg-type]


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
