"""An inbox with an app around it, and clients of each role."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from reads import step_of

from deploy.serve.inbox.app import inbox_app
from deploy.serve.inbox.tokens import tokens_beside
from effrl.label.oracle.inbox.messages import Settings
from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger
from effrl.questions import Question
from effrl.types import Prompt

QUESTION = Question(Prompt("a", "12+34="), ("46", "45"), ("12+34=46;#46", "12+34=45;#45"))


class Site:
    """The app of an inbox with open questions, as seen by people and by a run."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.path = folder / "ledger.sqlite"
        self.inbox = Inbox(Ledger(self.path))
        self.inbox.register(Settings.model_validate({"run": "demo", "budget_total": 100, **settings}))
        self.tokens = tokens_beside(self.path)
        self.client = TestClient(inbox_app(self.inbox, self.tokens), raise_server_exceptions=False)

    def ask(self, count: int, text: str = "what is {}?") -> None:
        made = [replace(QUESTION, prompt=Prompt(f"p{n}", text.format(n))) for n in range(count)]
        self.inbox.ask(step_of(1), made)

    def headers(self, role: str, name: str = "ann") -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.by_role[role]}", "X-Annotator": name}

    def call(self, role: str, method: str, path: str, name: str = "ann", **arguments: Any) -> Any:
        reply = self.client.request(method, path, headers=self.headers(role, name), **arguments)
        assert reply.status_code < 300, (reply.status_code, reply.text)
        return reply.json() if reply.content else None

    def take(self, name: str = "ann", count: int = 1) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.call("annotator", "POST", "/api/leases", name, json={"count": count})[
            "items"
        ]
        return items

    def put(self, lease: str, name: str = "ann", **body: Any) -> Any:
        return self.client.put(f"/api/answers/{lease}", headers=self.headers("annotator", name), json=body)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.inbox.ledger.close()


@pytest.fixture
def site(empty: Site) -> Site:
    empty.ask(3)
    return empty
