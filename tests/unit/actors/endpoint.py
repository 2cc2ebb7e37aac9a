"""An OpenAI-compatible endpoint on this machine, which behaves as a test wants."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True)
class Said:
    """One HTTP response."""

    body: str
    status: int = 200
    times: int = 1
    """How often it is sent for one request."""


def completion(text: str | None, finish: str = "stop") -> Said:
    return Said(json.dumps({"choices": [{"message": {"content": text}, "finish_reason": finish}]}))


@dataclass
class Endpoint:
    """Where it is, and what it was asked."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    """The bodies, each with the header ``authorization`` besides."""


@contextmanager
def endpoint(says: Callable[[str], Said]) -> Iterator[Endpoint]:
    """Serves ``says``, a function of the last message of a request."""

    class _Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found.requests.append({**body, "authorization": self.headers["authorization"]})
            said = says(body["messages"][-1]["content"])
            for _ in range(said.times):
                self._send(said)

        def _send(self, said: Said) -> None:
            content = said.body.encode()
            self.send_response(said.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.send_header("retry-after-ms", "1")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    class _Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that gave up waiting is gone."""

    with _Server(("127.0.0.1", 0), _Handler) as server:
        found = Endpoint(f"http://127.0.0.1:{server.server_port}/v1")
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join()
