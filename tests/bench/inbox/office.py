"""A server of the inbox that can be killed and is back at once, and clients that behave as the page does."""

import os
import signal
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from deploy.serve.inbox.app import inbox_app
from deploy.serve.inbox.tokens import InboxTokens, tokens_beside
from effrl.label.oracle.inbox.messages import Settings
from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger
from effrl.questions import Question
from effrl.types import Prompt, Step

QUESTION = Question(Prompt("p", "?"), ("46", "45", "44"), ("12 + 34 = 46",) * 3)


def ledger_with(path: Path, questions: int, each: int = 1000) -> InboxTokens:
    """A ledger with so many open questions, of steps of ``each``."""
    inbox = Inbox(Ledger(path))
    inbox.register(Settings(run="bench"))
    for start in range(0, questions, each):
        names = [f"p{number}" for number in range(start, min(start + each, questions))]
        made = [replace(QUESTION, prompt=Prompt(name, f"What is {name}?")) for name in names]
        inbox.ask(Step(1 + start // each, "train", 1, 1), made)
    inbox.ledger.close()
    return tokens_beside(path)


@dataclass
class Server:
    """A child process that serves; all imports are done before the first one is born."""

    path: Path
    port: int
    pid: int = 0

    def start(self) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            app = inbox_app(Inbox(Ledger(self.path)), tokens_beside(self.path))
            uvicorn.run(app, host="127.0.0.1", port=self.port, log_level="critical", access_log=False)
            os._exit(0)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def answers(self, within_s: float = 30.0) -> None:
        """Wait until it does."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/healthz", timeout=1.0)
                return
            except httpx.TransportError:
                time.sleep(0.01)
        raise TimeoutError(f"the inbox did not start within {within_s:.0f} s")


@contextmanager
def serving(path: Path) -> Iterator[Server]:
    server = Server(path, free_port())
    server.start()
    try:
        server.answers()
        yield server
    finally:
        server.kill()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@dataclass
class Client:
    """One person's page: an answer is sent again under its uuid until the server says that it is kept."""

    base: str
    name: str
    token: str
    acked: dict[str, str] = field(default_factory=dict)
    """Item by uuid."""
    put_ms: list[float] = field(default_factory=list)
    lease_ms: list[float] = field(default_factory=list)
    retries: int = 0

    def __post_init__(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}", "X-Annotator": self.name}
        self.http = httpx.Client(base_url=self.base, headers=headers, timeout=10.0)

    def answer_one(self, choice: int = 0) -> bool:
        """Take a question and answer it; False where there is none."""
        items: Sequence[dict[str, Any]] = self._sure("POST", "/api/leases", self.lease_ms, json={"count": 1})["items"]
        for item in items:
            name = str(uuid.uuid4())
            body = {"uuid": name, "choice": choice, "think_ms": 1000}
            self._sure("PUT", f"/api/answers/{item['lease']}", self.put_ms, json=body)
            self.acked[name] = item["item"]
        return bool(items)

    def _sure(self, method: str, path: str, times: list[float], **arguments: Any) -> Any:
        deadline = time.monotonic() + 600.0
        while time.monotonic() < deadline:
            began = time.perf_counter()
            try:
                reply = self.http.request(method, path, **arguments)
            except httpx.TransportError:
                self.retries += 1
                time.sleep(0.01)
                continue
            times.append(1000 * (time.perf_counter() - began))
            assert reply.status_code == 200, (reply.status_code, reply.text)
            return reply.json()
        raise TimeoutError(f"{method} {path} found no server for ten minutes")
