"""A label that is charged whenever a step wants it (``label.charge: per_visit``): never twice in the same step."""

import json
from pathlib import Path
from typing import Any

import pytest
from reads import replies, step_of

import effrl
from actors import role
from actors.oracle.actor import OracleActor
from actors.oracle.grading import Grading
from effrl.config.schema import Config
from effrl.label.oracle.ledger import Ledger
from effrl.questions import Question
from effrl.types import Prompt

NAMES = ["a", "b", "c", "d"]
PAID = [f"label of {name}" for name in NAMES]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output


def oracle(folder: Path, total: int | None = None, **label: Any) -> OracleActor:
    """On the ledger that is in the folder, or a new one."""
    data = folder / "rows.jsonl"
    rows = [{"id": name, "prompt": f"{name}?", "label": label} for name, label in zip(NAMES, PAID, strict=True)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    section = {"buy": "random", "budget": {"total": total}, "charge": "per_visit", **label}
    config = Config.model_validate({"data": {"train": str(data)}, "label": section, "rollout": {"refill": 0}})
    grading = Grading(lambda: lambda tasks: [])
    return OracleActor("oracle", folder, effrl.__version__, config.data.train, {}, config.label, grading)


def buy(actor: OracleActor, step: int, names: str) -> list[Any]:
    return actor.buy(step_of(step), [Question(Prompt(name, f"{name}?"), ()) for name in names])


def test_every_step_pays_again(tmp_path: Path) -> None:
    actor = oracle(tmp_path)
    for step in (1, 2, 3):
        assert buy(actor, step, "ab") == replies(PAID[:2])
    account = actor.account(3)
    assert (account.bought, account.bought_total) == (2, 6)
    assert [(row.prompt_id, row.source) for row in Ledger(actor.run.ledger).rows()] == [
        (name, f"dataset@{step}") for step in (1, 2, 3) for name in "ab"
    ]


def test_charged_once_it_pays_the_first_time_alone(tmp_path: Path) -> None:
    actor = oracle(tmp_path, charge="once")
    for step in (1, 2, 3):
        assert buy(actor, step, "ab") == replies(PAID[:2])
    assert actor.account(3).bought_total == 2


def test_a_step_that_a_resume_repeats_pays_nothing(tmp_path: Path) -> None:
    buy(oracle(tmp_path, total=5), 1, "ab")
    buy(oracle(tmp_path, total=5), 2, "bc")
    resumed = oracle(tmp_path, total=5)
    assert buy(resumed, 2, "bc") == replies(PAID[1:3])
    assert resumed.account(2).bought_total == 4


def test_the_budget_holds(tmp_path: Path) -> None:
    actor = oracle(tmp_path, total=5)
    buy(actor, 1, "ab")
    buy(actor, 2, "ab")
    assert buy(actor, 3, "abc") == replies([PAID[0], None, None])
    assert buy(actor, 3, "a") == replies([PAID[0]]), "that is paid"
    assert buy(actor, 4, "a") == replies([None]), "it was paid, but not for this step"
    assert Ledger(actor.run.ledger).spent() == 5
