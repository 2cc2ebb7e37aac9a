"""Labels of earlier runs: for nothing, once, and with where they come from."""

from pathlib import Path

import pytest
from reads import step_of

from actors.oracle.desks import open_desk
from effrl.config.label import GoldLabel
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.label.oracle.desk import Desk
from effrl.label.oracle.ledger import Ledger
from effrl.label.oracle.vault import LabelVault
from effrl.questions import BUDGET_SPENT, Label, Question, Refused
from effrl.run.directory import RunDirectory
from effrl.types import Prompt, Row


def run(folder: Path, **label: object) -> Desk:
    """The desk of a run over prompts a to d, whose own labels are all wrong."""
    folder.mkdir(exist_ok=True)
    rows = [Row(Prompt(name, f"{name}?"), "bought again") for name in "abcd"]
    return open_desk(RunDirectory(folder), GoldLabel.model_validate(label), LabelVault(rows))


def earlier(folder: Path, **labels: str) -> Path:
    """A run that bought these, and asked for one that did not come, and gave one back."""
    folder.mkdir()
    ledger = Ledger(RunDirectory(folder).ledger)
    for name in ("c", "d", *labels):
        ledger.reserve(f"train/3/{name}", name, "dataset", 3, budget_total=None)
    ledger.refund("train/3/d")
    for name, label in labels.items():
        ledger.commit(f"train/3/{name}", label, "ann")
    return folder


def questions(names: str) -> list[Question]:
    return [Question(Prompt(name, f"{name}?")) for name in names]


def test_the_next_run_pays_nothing_for_them(tmp_path: Path) -> None:
    desk = run(tmp_path / "next", reuse=[earlier(tmp_path / "first", a="1", b="2")], budget={"total": 1})
    assert desk.owned(step_of(1), ["a", "b", "c", "d"]) == [Label("1"), Label("2"), None, None]
    account = desk.account(1)
    assert (account.reused, account.bought_total, account.budget_left) == (2, 0, 1)
    bought = desk.buy(step_of(1), questions("abcd"))
    assert bought == [Label("1"), Label("2"), Label("bought again"), Refused(BUDGET_SPENT)]


def test_a_resume_finds_them_once_in_a_ledger_of_any_place(tmp_path: Path) -> None:
    first = earlier(tmp_path / "first", a="1")
    label = {"reuse": [first], "ledger": str(tmp_path / "local.sqlite")}
    accounts = [run(tmp_path / "next", **label).account(1) for _ in range(3)]
    assert [account.reused for account in accounts] == [1] * 3


def test_where_they_come_from_is_told_and_the_first_of_several_runs_counts(tmp_path: Path) -> None:
    places = [earlier(tmp_path / "first", a="1"), RunDirectory(earlier(tmp_path / "second", a="9", b="2")).ledger]
    run(tmp_path / "next", reuse=places)
    lines = {line.prompt_id: line for line in Ledger(RunDirectory(tmp_path / "next").ledger).rows()}
    assert {name: (line.answer, line.query_id, line.source, line.cost) for name, line in lines.items()} == {
        "a": ("1", "reused/train/3/a", "dataset", 0.0),
        "b": ("2", "reused/train/3/b", "dataset", 0.0),
    }
    assert lines["b"].answered_by == f"ann ({places[1]})"


def test_where_there_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^label.reuse: there is no ledger at .*nowhere"):
        run(tmp_path / "next", reuse=[tmp_path / "nowhere"])


def test_an_inbox_elsewhere_takes_none(tmp_path: Path) -> None:
    label = {"oracle": {"kind": "human"}, "ledger": "http://inbox", "reuse": [str(tmp_path)]}
    with pytest.raises(ValueError, match="leave one of them out"):
        Config.model_validate({"data": {"train": "tasks:chain"}, "label": label})
