"""A desk around somebody else's code: what that does wrong is one line, and costs nothing."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from reads import step_of

from effrl.config.label import GoldLabel
from effrl.errors import RunError
from effrl.label.oracle.desk import AnswererDesk
from effrl.label.oracle.ledger import Ledger
from effrl.protocols import Answerer
from effrl.questions import Answer, Asked, Label, Question, Refused, Reply
from effrl.types import Prompt
from tests.plugins.oracles import Knowing, Patient

Asking = Callable[[Mapping[str, Question]], Mapping[str, Reply]]


def desk_of(folder: Path, answerer: Answerer) -> AnswererDesk:
    return AnswererDesk(Ledger(folder / "ledger.sqlite"), GoldLabel(), answerer)


def buy(desk: AnswererDesk, step: int, names: str) -> list[Reply]:
    return desk.buy(step_of(step), [Question(Prompt(name, f"{name}?")) for name in names])


class Saying(Patient):
    """Replies as it is told."""

    def __init__(self, says: Asking) -> None:
        super().__init__()
        self.says = says

    def ask(self, questions: Mapping[str, Question]) -> dict[str, Reply]:
        return dict(self.says(questions))


def _raise(questions: Mapping[str, Question]) -> Mapping[str, Reply]:
    raise OSError("no\nroute")


@pytest.mark.parametrize(
    ("says", "message"),
    [
        (_raise, "label.oracle patient failed, and nothing was charged for it: OSError: no route"),
        (lambda asked: {}, "must reply to each question by its query id"),
        (lambda asked: {query: Label("1") for query in [*asked, "train/1/z"]}, "no other: see train/1/z"),
        (lambda asked: {query: Asked("another") for query in asked}, "no other: see train/1/a"),
    ],
)
def test_an_answerer_that_fails_is_named_and_costs_nothing(tmp_path: Path, says: Asking, message: str) -> None:
    desk = desk_of(tmp_path, Saying(says))
    with pytest.raises(RunError) as raised:
        buy(desk, 1, "ab")
    assert message in str(raised.value) and "\n" not in str(raised.value)
    assert desk.ledger.spent() == 0 and desk.open() == []


def test_what_was_open_before_a_failure_stays_open(tmp_path: Path) -> None:
    """Somebody is still thinking about it, and a group waits."""
    [asked] = buy(desk_of(tmp_path, Patient()), 1, "a")
    desk = desk_of(tmp_path, Saying(_raise))
    with pytest.raises(RunError):
        buy(desk, 2, "ab")
    assert isinstance(asked, Asked) and desk.open() == [asked.query] and desk.ledger.spent() == 1


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Label("1", 0.5), Answer("train/1/a", "a", "1", 0.5)),
        (Refused("too hard"), Answer("train/1/a", "a", None, reason="too hard")),
    ],
)
def test_a_group_that_waits_is_told_what_a_later_step_was_told_at_once(
    tmp_path: Path, reply: Reply, told: Answer
) -> None:
    buy(desk_of(tmp_path, Patient()), 1, "a")
    desk = desk_of(tmp_path, Saying(lambda asked: dict.fromkeys(asked, reply)))
    assert buy(desk, 2, "ab") == [reply, reply]
    assert desk.answered(0)[1] == [told], "of b nobody else waits to hear"


@pytest.mark.parametrize("method", ["answered", "withdraw"])
def test_an_answerer_is_named_whatever_it_fails_at(tmp_path: Path, method: str) -> None:
    answerer = Patient()
    desk = desk_of(tmp_path, answerer)
    buy(desk, 1, "a")

    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("what?")

    vars(answerer)[method] = broken
    with pytest.raises(RunError, match=r"^label.oracle patient failed.*ZeroDivisionError: what\?$"):
        desk.withdraw(desk.open()) if method == "withdraw" else desk.answered(0)


def test_what_a_killed_attempt_held_back_is_free_where_no_answer_comes_late(tmp_path: Path) -> None:
    knowing = Knowing({"a": "1"})
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.reserve("train/1/a", "a", knowing.source, 1, budget_total=None)
    ledger.reserve("train/1/b", "b", Patient.source, 1, budget_total=None)
    desk_of(tmp_path, Patient()).start()
    assert len(ledger.open()) == 2, "somebody may think about them"
    desk_of(tmp_path, knowing).start()
    assert ledger.open() == [] and ledger.spent() == 0
