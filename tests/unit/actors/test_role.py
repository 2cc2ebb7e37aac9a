"""Calls of an actor's public methods, which are recorded while a run is profiled."""

import inspect
from pathlib import Path

import pytest

import effrl
from actors import role
from actors.role import Role
from effrl.run import recording


class Worker(Role):
    def double(self, number: int) -> int:
        """Twice the number."""
        return 2 * self._same(number)

    def fail(self) -> None:
        raise ValueError("boom")

    def _same(self, number: int) -> int:
        return number


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # this process keeps its own output


def test_public_calls_are_recorded_also_those_that_raise(tmp_path: Path) -> None:
    recording.begin(tmp_path / "profile")
    worker = Worker("data", tmp_path, effrl.__version__)
    assert worker.double(number=3) == 6
    with pytest.raises(ValueError, match="boom"):
        worker.fail()
    seen, inside = recording.recorded(tmp_path / "profile")
    assert seen == [] and [(span.role, span.name) for span in inside] == [("data", "double"), ("data", "fail")]
    assert all(0 <= span.end - span.start < 5 for span in inside)


def test_otherwise_nothing_is_written(tmp_path: Path) -> None:
    assert Worker("data", tmp_path, effrl.__version__).double(3) == 6
    assert list(tmp_path.iterdir()) == []


def test_a_recorded_method_looks_as_it_was_written() -> None:
    """Ray reads signatures."""
    assert list(inspect.signature(Worker.double).parameters) == ["self", "number"]
    assert Worker.double.__doc__ == "Twice the number."
