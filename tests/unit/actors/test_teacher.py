"""The teacher behind an endpoint that is slow, errs, times out, answers twice, or talks rubbish: no failure is paid."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reads import step_of

from actors.oracle.teacher import Teacher
from effrl.config.label import GoldLabel
from effrl.config.oracle import ModelOracle
from effrl.errors import UserError
from effrl.label.oracle.desk import AnswererDesk
from effrl.label.oracle.ledger import Ledger
from effrl.questions import Label, Question, Refused, Reply
from effrl.types import Prompt
from tests.unit.actors.endpoint import Said, completion, endpoint


def questions(*names: str) -> list[Question]:
    return [Question(Prompt(name, f"what is {name}?")) for name in names]


def right(asked: str) -> Said:
    return completion(f"Let me think.\nAnswer: label of {asked}")


def bought(folder: Path, says: Callable[[str], Said], *names: str, **oracle: Any) -> tuple[list[Reply], float, int]:
    """Replies of a teacher, what they cost of a budget of 100 at 2.5 each, and how often the endpoint was asked."""
    with endpoint(says) as place:
        given = {"model": "big", "url": place.url, "price": 2.5, "retries": 1, **oracle}
        config = GoldLabel.model_validate({"oracle": {"kind": "model", **given}, "budget": {"total": 100}})
        assert isinstance(config.oracle, ModelOracle)
        desk = AnswererDesk(Ledger(folder / "ledger.sqlite"), config, Teacher(config.oracle))
        replies = desk.buy(step_of(1), questions(*names))
        assert desk.open() == [], "a teacher leaves nothing open"
        account = desk.account(1)
        assert account.budget_left == 100 - desk.ledger.spent()
        return replies, desk.ledger.spent(), len(place.requests)


def refused(folder: Path, says: Callable[[str], Said], **oracle: Any) -> tuple[str, int]:
    """Why a question has no label, which costs nothing, and how often the endpoint was asked."""
    [reply], cost, asked = bought(folder, says, "a", **oracle)
    assert isinstance(reply, Refused) and cost == 0
    assert "\n" not in reply.reason and len(reply.reason) < 300
    return reply.reason, asked


def test_the_last_answer_is_the_label_and_each_one_has_its_price(tmp_path: Path) -> None:
    replies, cost, asked = bought(tmp_path, right, "a", "b", "a")
    assert replies == [Label(f"label of what is {name}?") for name in "aba"]
    assert (cost, asked) == (5.0, 2), "a prompt is asked, and paid, once"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Answer: 3\nNo, that is wrong.\nAnswer: 4", "4"),
        ("**Answer:** 42", "42"),
        ("**Answer: 42**\n", "42"),
        ("answer:\n\n  1 / 2\n", "1 / 2"),
        ("Answer: x = 3\nI hope that this helps.", "x = 3"),
        ("The answer: is not on a line of its own", None),
        ("42", None),
        ("Answer:", None),
        ("", None),
        (None, None),
    ],
)
def test_which_line_is_the_answer(tmp_path: Path, text: str | None, label: str | None) -> None:
    [reply], _, _ = bought(tmp_path, lambda asked: completion(text), "a")
    assert reply == (Refused("the teacher gave no final answer") if label is None else Label(label))


def test_an_answer_that_may_be_cut_off_is_none(tmp_path: Path) -> None:
    reason, _ = refused(tmp_path, lambda asked: completion("Answer: 12", "length"))
    assert "label.oracle.max_tokens" in reason


def test_what_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "k1")
    config = {"kind": "model", "model": "big", "key": "MY_KEY", "system": "Be right.", "max_tokens": 7}
    with endpoint(right) as place:
        teacher = Teacher(ModelOracle.model_validate({**config, "url": place.url}))
        messages = ({"role": "user", "content": "hello"}, {"role": "user", "content": "and?"})
        replies = teacher.ask({"train/1/p": Question(Prompt("p", messages))})
    assert replies == {"train/1/p": Label("label of and?")} and teacher.source == "model:big"
    [sent] = place.requests
    assert sent["messages"] == [{"role": "system", "content": "Be right."}, *messages]
    assert (sent["model"], sent["temperature"], sent["max_completion_tokens"]) == ("big", 0.0, 7)
    assert sent["authorization"] == "Bearer k1"


@pytest.mark.parametrize(("status", "calls"), [(401, 1), (400, 1), (429, 3), (500, 3), (503, 3)])
def test_an_endpoint_that_errs(tmp_path: Path, status: int, calls: int) -> None:
    reason, asked = refused(tmp_path, lambda asked: Said('{"error": {"message": "no"}}', status), retries=2)
    assert str(status) in reason and asked == calls, "what cannot get better is not tried again"


def test_a_failure_that_passes_is_tried_again(tmp_path: Path) -> None:
    says = iter([Said("{}", 500), Said("{}", 429), right("a")])
    [reply], cost, asked = bought(tmp_path, lambda asked: next(says), "a", retries=2)
    assert (reply, cost, asked) == (Label("label of a"), 2.5, 3)


def test_an_endpoint_that_times_out(tmp_path: Path) -> None:
    def slow(asked: str) -> Said:
        time.sleep(2)
        return right(asked)

    started = time.monotonic()
    reason, asked = refused(tmp_path, slow, timeout_s=0.1, retries=0)
    assert "timed out" in reason.lower() and asked == 1 and time.monotonic() - started < 1.5


def test_calls_are_side_by_side(tmp_path: Path) -> None:
    """A slow endpoint is waited for once, not once per question."""

    def slow(asked: str) -> Said:
        time.sleep(0.5)
        return right(asked)

    started = time.monotonic()
    replies, _, _ = bought(tmp_path, slow, *"abcdef", concurrent=6)
    assert all(isinstance(reply, Label) for reply in replies) and time.monotonic() - started < 2


@pytest.mark.parametrize(
    "body", ["<html>busy</html>", "", "{", "[]", "null", '"text"', '{"choices": []}', '{"choices": [{"message": 3}]}']
)
def test_an_endpoint_that_talks_rubbish(tmp_path: Path, body: str) -> None:
    refused(tmp_path, lambda asked: Said(body))


def test_an_endpoint_that_answers_twice(tmp_path: Path) -> None:
    """Its second response must not become the answer to the next question on the same connection."""
    names = [f"p{number}" for number in range(8)]
    replies, cost, asked = bought(tmp_path, lambda asked: Said(right(asked).body, times=2), *names, concurrent=1)
    assert replies == [Label(f"label of what is {name}?") for name in names]
    assert (cost, asked) == (8 * 2.5, 8)


def test_an_endpoint_that_is_not_there(tmp_path: Path) -> None:
    reason, asked = refused(tmp_path, right, url="http://127.0.0.1:9/v1", retries=0)
    assert "http://127.0.0.1:9/v1" in reason and asked == 0


def test_one_failure_of_many_is_refused_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    says = lambda asked: Said("{}", 400) if "b" in asked else right(asked)  # noqa: E731
    replies, cost, _ = bought(tmp_path, says, "a", "b", "c")
    assert [type(reply) for reply in replies] == [Label, Refused, Label] and cost == 5.0
    [line] = capsys.readouterr().out.splitlines()
    assert "1 of 3 questions have no label" in line


def test_where_all_fail_the_remedy_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bought(tmp_path, lambda asked: Said("{}", 401), "a", "b", "c")
    counted, remedy = capsys.readouterr().out.splitlines()
    assert "3 of 3" in counted and "label.oracle.url" in remedy and "OPENAI_API_KEY" in remedy


def test_a_key_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set: export"):
        Teacher(ModelOracle(kind="model", model="big"))
    Teacher(ModelOracle(kind="model", model="big", url="http://127.0.0.1:9/v1"))
