"""The label inbox under Ray Serve: one replica that owns its ledger."""

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from reads import step_of

from deploy.serve.inbox.serving import inbox
from deploy.serve.inbox.tokens import tokens_beside
from effrl.errors import UserError
from effrl.label.oracle.inbox.messages import Settings
from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger
from effrl.questions import Question
from effrl.types import Prompt

pytestmark = pytest.mark.ray


@pytest.fixture
def served(local_ray: None, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of the app over ``ledger.sqlite``."""
    from ray import serve

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(inbox({"ledger": str(tmp_path / "ledger.sqlite")}))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield client
    serve.shutdown()


def test_a_question_is_answered_through_the_proxy(served: httpx.Client, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    store, tokens = Inbox(Ledger(path)), tokens_beside(path)
    store.register(Settings(run="demo"))
    store.ask(step_of(1), [Question(Prompt("a", "12+34="), ("46", "45"))])
    served.headers.update({"Authorization": f"Bearer {tokens.by_role['annotator']}", "X-Annotator": "ann"})
    [item] = served.post("/api/leases", json={"count": 3}).json()["items"]
    said = served.put(f"/api/answers/{item['lease']}", json={"uuid": "u", "choice": 1})
    assert said.status_code == 200 and "content-security-policy" in said.headers
    assert [answer.answer for answer in store.answered(0)[1]] == ["45"]
    assert served.post("/api/leases", content=iter([b"{}"])).status_code == 411
    assert served.get("/static/inbox.js").status_code == 200


def test_without_a_ledger_there_is_nothing_to_serve() -> None:
    with pytest.raises(UserError, match="ledger="):
        inbox({})
