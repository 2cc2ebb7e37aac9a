"""A ledger outside of the run directory: noted there, found again, and never mistaken for another one."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from effrl.config.label import GoldLabel
from effrl.errors import UserError
from effrl.label.oracle.address import note_place, open_ledger
from effrl.run.directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    (tmp_path / "run").mkdir()
    return RunDirectory(tmp_path / "run")


def buy(run: RunDirectory, address: str | None) -> int:
    """Open the ledger as an attempt does, buy a label, and close it; returns the lines before."""
    ledger = open_ledger(run, address)
    note_place(run, address)
    lines = len(list(ledger.rows()))
    ledger.buy_all("train", 1, [f"p{lines}"], "dataset", str.upper, "data", budget_total=None)
    ledger.close()
    return lines


def test_by_default_it_lies_in_the_run_directory(run: RunDirectory) -> None:
    assert [buy(run, None), buy(run, None)] == [0, 1]
    assert run.ledger.is_file() and run.ledger_note.read_text().startswith(str(run.ledger))


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}"])
def test_it_lies_where_the_config_says(run: RunDirectory, tmp_path: Path, form: str) -> None:
    file = tmp_path / "local" / "disk" / "a.sqlite"
    address = form.format(file)
    assert [buy(run, address), buy(run, address)] == [0, 1]
    assert file.is_file() and not run.ledger.exists()
    assert run.ledger_note.read_text().startswith(f"{address} on ")


def test_a_resume_without_its_ledger_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    """On another machine it would begin an empty one, and the budget anew."""
    file, moved = tmp_path / "a.sqlite", tmp_path / "b.sqlite"
    buy(run, str(file))
    file.rename(moved)
    with pytest.raises(UserError, match=r"the ledger of .*run is not at .*a.sqlite on .*; it was at .*a.sqlite on"):
        open_ledger(run, str(file))
    assert not file.exists()
    assert buy(run, str(moved)) == 1, "a copy elsewhere will do, where the config names it"


@pytest.mark.parametrize("way", ["out of the run directory", "into it"])
def test_a_ledger_can_be_moved_and_not_left_behind(run: RunDirectory, tmp_path: Path, way: str) -> None:
    outside = str(tmp_path / "a.sqlite")
    places: list[str | None] = [None, outside] if way == "out of the run directory" else [outside, None]
    files = [run.ledger if place is None else Path(place) for place in places]
    buy(run, places[0])
    with pytest.raises(UserError, match=rf"it was at {files[0]}"):
        open_ledger(run, places[1])
    files[0].rename(files[1])
    assert buy(run, places[1]) == 1


def test_the_ledger_of_another_run_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    other = RunDirectory(tmp_path / "other")
    other.path.mkdir()
    shared = str(tmp_path / "a.sqlite")
    buy(run, shared)
    with pytest.raises(UserError, match="holds the labels of another run"):
        open_ledger(other, shared)
    assert not other.ledger_note.exists() and buy(run, shared) == 1


def test_as_long_as_nothing_was_bought_it_may_be_named_another_place(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unable to open .*; label.ledger names another place"):
        open_ledger(run, "/proc/a.sqlite")
    open_ledger(run, None).close()
    assert buy(run, str(tmp_path / "b.sqlite")) == 0


def test_an_address_is_the_same_wherever_a_resume_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    assert GoldLabel(ledger="a.sqlite").ledger == str(tmp_path / "a.sqlite")
    assert GoldLabel(ledger="~/a.sqlite").ledger == "/home/ann/a.sqlite"
    assert GoldLabel(ledger="sqlite:////disk/a.sqlite").ledger == "sqlite:////disk/a.sqlite"
    for wrong in ("postgresql://ann@db/x", "sqlite:///a.sqlite"):
        with pytest.raises(ValidationError, match=r"sqlite:////path/to/ledger\.sqlite"):
            GoldLabel(ledger=wrong)
