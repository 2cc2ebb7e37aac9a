"""An inbox over a ledger of its own, served as ``effrl labels serve`` does it, and what a run does."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.serve.inbox.app import inbox_app
from deploy.serve.inbox.tokens import InboxTokens
from effrl.label.oracle.inbox.messages import Given, Settings
from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger
from effrl.questions import Question
from effrl.types import Prompt
from tests.reads import step_of

TOKENS = InboxTokens({"annotator": "tok-annotator", "owner": "tok-owner", "run": "tok-run"})
GUIDELINES = "Choose the answer that a careful solver would give. Write fractions, such as $\\frac13$."
BUDGET = 200


def question(number: int, prompt: str | None = None, answers: dict[str, str] | None = None) -> Question:
    """One whose answers are 10, 20 and 30, if not others; from each of them to its solution."""
    shown = answers or {str(10 * one): f"Since ${one}$ is {one}." for one in (1, 2, 3)}
    text = prompt or f"what is $x^{number}$?"
    return Question(Prompt(f"p{number}", f"Question {number}: {text}"), tuple(shown), tuple(shown.values()))


def questions(count: int) -> list[Question]:
    return [question(number) for number in range(count)]


class ServedInbox:
    """The inbox of a run in a folder."""

    def __init__(self, folder: Path) -> None:
        self.ahead_s = 0.0
        """How far its clock is ahead."""
        self.delay_s = 0.0
        """Time that each answer takes on its way."""
        self.calls: list[str] = []
        self.store = Inbox(Ledger(folder / "ledger.sqlite"), lambda: time.time() + self.ahead_s)
        self.store.register(Settings(run="care-human", budget_total=BUDGET, guidelines=GUIDELINES))

    def ask(self, asked: Sequence[Question]) -> None:
        self.store.ask(step_of(1), asked)

    def opinions(self) -> list[dict[str, Any]]:
        """Those that were not taken back."""
        return [opinion for opinion in self.store.export() if opinion["standing"] != "void"]

    def said(self) -> list[Any]:
        """What each of them says: the number of a choice, a text, or a reason to skip."""
        return [
            next(opinion[key] for key in ("choice", "typed", "skip") if opinion[key] is not None)
            for opinion in self.opinions()
        ]

    def leased(self) -> list[str]:
        """Who holds a question, once for each."""
        return [lease.annotator for lease in self.store.overview().leases]

    def answer_elsewhere(self, person: str) -> None:
        """They answer their first question, not on the page."""
        self.store.answer(person, self.store.lease(person)[0].lease, "elsewhere", Given(choice=0), lambda *_: None)

    def fetch(self) -> None:
        """The run learns what was answered."""
        self.store.answered(0)


class _Watched:
    """The app, with what the tests do to calls."""

    def __init__(self, app: ASGIApp, inbox: ServedInbox) -> None:
        self.app, self.inbox = app, inbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.inbox.calls.append(f"{scope['method']} {scope['path']}")
            await asyncio.sleep(self.inbox.delay_s if scope["method"] == "PUT" else 0)
        await self.app(scope, receive, send)


@contextmanager
def served(inbox: ServedInbox) -> Iterator[str]:
    """The address of its pages, until the end."""
    app = _Watched(inbox_app(inbox.store, TOKENS), inbox)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
