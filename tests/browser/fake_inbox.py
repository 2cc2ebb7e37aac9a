"""The inbox's REST contract over a list in memory, for tests of its pages: they decide what it knows and refuses.

It keeps the promises that the pages build on (an answer once per UUID, a lease per person and item) and nothing else.
"""

import hashlib
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles

STATIC = Path(__file__).parents[2] / "deploy" / "serve" / "inbox" / "static"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TOKENS = {"tok-annotator": "annotator", "tok-owner": "owner"}


class FakeInbox:
    """Items by number, leases by name, and every answer that arrived. Tests read and set its attributes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reset()

    def reset(self, items: list[dict[str, Any]] | None = None, *, budget: int | None = 120) -> None:
        self.items = {f"q{number}": item for number, item in enumerate(items or [])}
        self.leases: dict[str, tuple[str, str]] = {}  # lease -> item, person
        self.answers: dict[str, dict[str, Any]] = {}  # uuid -> what was said
        self.answered: dict[str, str] = {}  # item -> uuid
        self.calls: list[str] = []
        self.lost: set[str] = set()  # items that others hold now
        self.fetched: set[str] = set()  # uuids that the run has used
        self.budget, self.waiting, self.delay_s = budget, False, 0.0
        self.names = itertools.count()

    def lease(self, item: str, person: str) -> dict[str, Any]:
        lease = f"lease-{next(self.names)}"
        self.leases[lease] = (item, person)
        return self.shown(lease)

    def shown(self, lease: str) -> dict[str, Any]:
        item, person = self.leases[lease]
        shown = self.items[item]
        order = sorted(
            shown["answers"], key=lambda one: hashlib.sha256(f"{item}{person}{one['choice']}".encode()).digest()
        )
        expires_at = time.time() + 900
        return (
            {"lease": lease, "item": item, "amends": False, "before": None, "expires_at": expires_at}
            | shown
            | {"answers": order}
        )

    def next_items(self, person: str, count: int, holding: list[str]) -> list[dict[str, Any]]:
        """What this person was handed and does not hold comes first: a page may have lost it."""
        dropped = [one for one, (_, whose) in self.leases.items() if whose == person and one not in holding]
        taken = {item for item, _ in self.leases.values()} | self.answered.keys() | self.lost
        free = [item for item in self.items if item not in taken]
        again = [self.shown(lease) for lease in dropped if self.leases[lease][0] not in self.lost]
        return [*again, *(self.lease(item, person) for item in free[: max(0, count - len(again))])][:count]

    def stats(self, person: str) -> dict[str, Any]:
        mine = sum(answer["annotator"] == person for answer in self.answers.values())
        return {
            "open": len(self.items) - len(self.answered) - len(self.leases), "leased": len(self.leases),
            "answered": len(self.answered), "budget_total": self.budget,
            "budget_left": None if self.budget is None else self.budget - len(self.answered), "mine": mine,
            "items_per_hour": 42.4 * bool(mine), "waiting": self.waiting,
            "waiting_until": time.time() + 300 if self.waiting else None,
        }  # fmt: skip

    def said(self) -> list[Any]:
        """What each answer says, in the order of arrival."""
        return [
            next(answer[key] for key in ("choice", "typed", "skip") if answer[key] is not None)
            for answer in self.answers.values()
        ]


def app(inbox: FakeInbox) -> FastAPI:
    api = FastAPI()
    _pages(api)
    _leases(api, inbox)
    _answers(api, inbox)
    _owner(api, inbox)

    @api.middleware("http")
    async def checked(request: Request, go_on: Any) -> Response:
        path = request.url.path
        role = TOKENS.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if path.startswith("/api/") and role is None:
            response: Response = Response('{"detail": "This token is not known."}', 401)
        else:
            inbox.calls.append(f"{request.method} {path}")
            response = await go_on(request)
        response.headers["Content-Security-Policy"] = CSP
        return response

    @api.get("/api/whoami")
    def whoami(authorization: str = Header()) -> dict[str, Any]:
        role = TOKENS[authorization.removeprefix("Bearer ")]
        rules = (
            "Choose the answer that a careful solver would give. Write numbers as fractions, such as $\\frac{1}{3}$."
        )
        return {"role": role, "run": "care-human", "guidelines": rules, "opinions": 1}

    return api


def _pages(api: FastAPI) -> None:
    api.mount("/static", StaticFiles(directory=STATIC))
    api.get("/")(lambda: FileResponse(STATIC / "index.html"))
    api.get("/owner")(lambda: FileResponse(STATIC / "owner.html"))


def _leases(api: FastAPI, inbox: FakeInbox) -> None:
    @api.post("/api/leases")
    def leases(body: dict[str, Any], x_annotator: str = Header()) -> dict[str, Any]:
        with inbox.lock:
            items = inbox.next_items(x_annotator, body["count"], body["holding"])
            return {"items": items, "stats": inbox.stats(x_annotator)}

    @api.post("/api/leases/heartbeat")
    def heartbeat(body: dict[str, Any]) -> dict[str, Any]:
        with inbox.lock:
            lost = [one for one in body["leases"] if one not in inbox.leases or inbox.leases[one][0] in inbox.lost]
            return {"expires_at": {one: time.time() + 900 for one in body["leases"] if one not in lost}, "lost": lost}

    @api.delete("/api/leases/{lease}", status_code=204)
    def give_back(lease: str) -> None:
        with inbox.lock:
            inbox.leases.pop(lease, None)

    @api.get("/api/stats")
    def stats(x_annotator: str = Header("")) -> dict[str, Any]:
        return inbox.stats(x_annotator)


def _answers(api: FastAPI, inbox: FakeInbox) -> None:
    @api.put("/api/answers/{lease}")
    def answer(lease: str, body: dict[str, Any], x_annotator: str = Header()) -> dict[str, Any]:
        time.sleep(inbox.delay_s)
        with inbox.lock:
            if body["uuid"] not in inbox.answers:
                if lease not in inbox.leases:
                    raise HTTPException(404, "There is no such lease.")
                item, _ = inbox.leases.pop(lease)
                if item in inbox.answered:
                    raise HTTPException(409, "Somebody answered this question already.")
                inbox.answered[item] = body["uuid"]
                inbox.answers[body["uuid"]] = body | {"item": item, "annotator": x_annotator}
            return {"uuid": body["uuid"], "stats": inbox.stats(x_annotator)}

    @api.post("/api/answers/{uuid}/undo")
    def undo(uuid: str, x_annotator: str = Header()) -> dict[str, Any]:
        with inbox.lock:
            if uuid not in inbox.answers:
                raise HTTPException(404, "There is no such answer.")
            said = inbox.answers.pop(uuid)
            del inbox.answered[said["item"]]
            before = {"choice": said["choice"], "typed": said["typed"]}
            return {
                "item": inbox.lease(said["item"], x_annotator) | {"before": before, "amends": uuid in inbox.fetched}
            }

    @api.post("/api/understand")
    def understand(body: dict[str, Any]) -> dict[str, Any]:
        typed = body["typed"].strip("$ ")
        answers = inbox.items[inbox.leases[body["lease"]][0]]["answers"]
        same = next((one["choice"] for one in answers if one["text"].strip("$") == typed), None)
        if not any(letter.isalnum() for letter in typed):
            return {"answer": None, "same_as": None, "note": "It has no number."}
        return {"answer": typed, "same_as": same, "note": "a new answer"}


def _owner(api: FastAPI, inbox: FakeInbox) -> None:
    @api.get("/api/overview")
    def overview() -> dict[str, Any]:
        names = sorted({answer["annotator"] for answer in inbox.answers.values()})
        rows = [_annotator(name, inbox) for name in names]
        leases = [
            {"item": item, "annotator": person, "since": time.time() - 30, "expires_at": time.time() + 870}
            for item, person in inbox.leases.values()
        ]
        counts = {"open": inbox.stats("")["open"], "answered": len(inbox.answered), "skipped": 0, "expired": 0}
        states = counts | {"withdrawn": 0, "disagreed": 0}
        return {
            "stats": inbox.stats(""), "states": states, "annotators": rows, "leases": leases, "answers_per_hour": 84.0,
            "agreement": 0.91,
        }  # fmt: skip

    @api.get("/api/items")
    def items(after: int = 0, limit: int = 100, state: str = "") -> dict[str, Any]:
        rows = [_row(item, inbox) for item in inbox.items]
        rows = [row for row in rows if state in ("", row["state"])]
        end = after + limit
        return {"items": rows[after:end], "next": str(end) if end < len(rows) else None}

    @api.get("/api/export.jsonl")
    def export() -> PlainTextResponse:
        return PlainTextResponse("".join(f'{{"uuid": "{uuid}"}}\n' for uuid in inbox.answers))


def _annotator(name: str, inbox: FakeInbox) -> dict[str, Any]:
    said = [answer for answer in inbox.answers.values() if answer["annotator"] == name]
    return {
        "name": name, "answers": len(said), "skips": sum(answer["skip"] is not None for answer in said),
        "median_think_s": 14.2, "gold_asked": 4, "gold_right": 4, "repeats": 3, "repeats_same": 3, "overlaps": 0,
        "overlaps_same": 0, "reliability": 0.93, "last_seen": time.time(),
    }  # fmt: skip


def _row(item: str, inbox: FakeInbox) -> dict[str, Any]:
    uuid = inbox.answered.get(item)
    said = inbox.answers[uuid] if uuid else {}
    return {
        "item": item, "query": f"query-{item}", "prompt_id": f"train:{item}", "step": 3,
        "state": "answered" if uuid else "open", "priority": 0.5, "asked_at": time.time(), "answer": said.get("typed"),
        "answered_by": said.get("annotator"), "opinions": 1 if uuid else 0,
    }  # fmt: skip


@contextmanager
def served(inbox: FakeInbox) -> Iterator[str]:
    """The address of the pages over an inbox, in a thread, until the end."""
    server = uvicorn.Server(uvicorn.Config(app(inbox), port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)
