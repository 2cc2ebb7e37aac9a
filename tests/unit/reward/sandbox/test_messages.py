"""What crosses between the sandbox and a worker comes out as it went in, and what is no message is none."""

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.reward.sandbox.messages import Request, ScoringTask, Started, WorkerReply
from effrl.types import Score, Status

FIELDS = {"number": 3, "outcome": 1.0, "status": "ok", "answer": "46", "detail": ""}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.text(), st.none() | st.text(), st.dictionaries(st.text(), JSON), st.booleans())
def test_a_task_arrives_whole(completion: str, label: str | None, meta: dict[str, Any], truncated: bool) -> None:
    task = ScoringTask(completion, label, meta, truncated, "answer")
    assert Request.unpack(Request(7, task).pack()) == Request(7, task)


@given(st.floats(0, 1), st.none() | st.text())
def test_a_score_arrives_whole(outcome: float, answer: str | None) -> None:
    reply = WorkerReply(3, Score(outcome, outcome, Status.OK, answer))
    assert WorkerReply.unpack(reply.pack()) == reply


@pytest.mark.parametrize("status", Status)
def test_every_status_arrives(status: Status) -> None:
    outcome = 0.0 if status.scored else None
    reply = WorkerReply(3, Score(outcome, outcome, status, detail="why"))
    assert WorkerReply.unpack(reply.pack()) == reply


def test_a_text_that_is_no_unicode_arrives() -> None:
    """A lone surrogate, as JSON Lines may hold it and a tokenizer may make it."""
    reply = WorkerReply(3, Score(1.0, 1.0, Status.OK, "\ud800"))
    assert WorkerReply.unpack(reply.pack()) == reply


def test_details_are_one_short_line() -> None:
    reply = WorkerReply(3, Score(None, None, Status.ERROR, detail="one\n\x1f two" * 1000))
    arrived = WorkerReply.unpack(reply.pack())
    assert arrived is not None and "\n" not in arrived.score.detail and len(arrived.score.detail) == 300


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("outcome", value) for value in (2.0, -0.1, float("nan"), float("inf"), None, True, 1, "1", [1.0])],
        *[("status", value) for value in ("fine", "timeout", "unparseable", "truncated", None, 3, [])],
        *[("answer", value) for value in (7, ["46"], {})],
        *[("detail", value) for value in (None, 7)],
        *[("number", value) for value in ("3", None, 3.0)],
    ],
)
def test_a_lie_is_no_reply(field: str, value: object) -> None:
    assert WorkerReply.unpack(json.dumps(FIELDS).encode()) == WorkerReply(3, Score(1.0, 1.0, Status.OK, "46"))
    assert WorkerReply.unpack(json.dumps({**FIELDS, field: value}).encode()) is None


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x80\x04\x95garbage",
        b"\xff\xfe\x00",
        pickle.dumps(FIELDS),
        b"null",
        b"[3, 1.0]",
        b"{",
        b"[" * 100_000,
        b'{"number": ' + b"9" * 10_000 + b"}",
        b'{"number": 3, "outcome": 1.0, "status": "ok"}',
    ],
    ids=lambda message: message[:12].decode(errors="replace") or "nothing",
)
def test_garbage_is_no_message(message: bytes) -> None:
    assert WorkerReply.unpack(message) is None
    assert Started.unpack(message) is None


def test_a_start_arrives() -> None:
    for started in (Started(), Started("no such module")):
        assert Started.unpack(started.pack()) == started
    assert Started.unpack(b'{"problem": 1}') is None
