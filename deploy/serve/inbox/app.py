"""The inbox's routes. Each says in its description what it does; ``/openapi.json`` has them all."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError
from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware

import effrl
from deploy.serve.inbox.bodies import (
    Acknowledged,
    AnswerBody,
    AskBody,
    Beaten,
    Heartbeat,
    Leased,
    LeaseName,
    LeaseWish,
    OwnedBody,
    RegisterBody,
    Replies,
    Standings,
    Told,
    Typed,
    Understood,
    Undone,
    Uuid,
    WaitingBody,
    WhoAmI,
    WireNumber,
    WithdrawBody,
)
from deploy.serve.inbox.exports import as_jsonl, as_parquet
from deploy.serve.inbox.guard import Caller, Guard, allowed
from deploy.serve.inbox.reading import TypedAnswers
from deploy.serve.inbox.tokens import InboxTokens
from deploy.serve.inbox.webhook import Webhook
from effrl.errors import DeadlineError
from effrl.label.oracle.inbox.messages import Listing, Overview, QuestionState, Stats, TokenRole
from effrl.label.oracle.inbox.opinions import Conflict, UnknownLease
from effrl.label.oracle.inbox.store import Inbox
from effrl.questions import Account

STATIC = Path(__file__).parent / "static"
LONGEST_POLL_S, POLL_S = 25.0, 0.2
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "What was sent is not understood."},
    401: {"description": "No token, or none of ours."},
    403: {"description": "The token of another role."},
    411: {"description": "A body without a length."},
    413: {"description": "A body that is too long."},
    503: {"description": "Another process holds the ledger; try again."},
}
MISSING: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such lease or answer of this person."},
    409: {"description": "The question was answered or closed in the meantime."},
}


def inbox_app(inbox: Inbox, tokens: InboxTokens, webhook: Webhook | None = None) -> FastAPI:
    """The whole app over one inbox."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watch = asyncio.create_task(webhook.watch(inbox)) if webhook else None
        yield
        if watch is not None:
            watch.cancel()

    # No page that shows the schema: FastAPI's own loads its scripts from elsewhere.
    app = FastAPI(
        title="effrl label inbox",
        version=effrl.__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=ERRORS,
    )
    app.include_router(_questions(inbox, tokens))
    app.include_router(_answers(inbox, tokens))
    app.include_router(_owner(inbox, tokens))
    app.include_router(_run(inbox, tokens))
    _pages(app)
    app.add_exception_handler(RequestValidationError, _not_understood)
    for not_text in (UnicodeEncodeError, PydanticSerializationError):  # half a surrogate pair
        app.add_exception_handler(not_text, _says(400))
    app.add_exception_handler(UnknownLease, _says(404))
    app.add_exception_handler(Conflict, _says(409))
    app.add_exception_handler(DeadlineError, _says(503))
    app.add_middleware(GZipMiddleware, minimum_size=1000)
    app.add_middleware(Guard)
    return app


def _questions(inbox: Inbox, tokens: InboxTokens) -> APIRouter:
    """How annotators come to questions."""
    routes = APIRouter(prefix="/api", tags=["annotator"])
    anybody, person = _let_in(tokens), _let_in(tokens, "annotator")

    @routes.get("/whoami")
    def whoami(caller: Annotated[Caller, anybody]) -> WhoAmI:
        """What the token stands for."""
        run = inbox.settings
        known = (run.run, run.guidelines, run.opinions) if run else (None, "", 1)
        named = dict(zip(("run", "guidelines", "opinions"), known, strict=True))
        return WhoAmI(role=caller.role, annotator=caller.annotator, **named)

    @routes.post("/leases")
    def lease(wish: LeaseWish, caller: Annotated[Caller, person]) -> Leased:
        """Take questions, or get those that were handed out and lost."""
        items = inbox.lease(caller.annotator, wish.count, wish.holding)
        return Leased(items=items, stats=inbox.stats(caller.annotator))

    @routes.post("/leases/heartbeat")
    def heartbeat(beat: Heartbeat, caller: Annotated[Caller, person]) -> Beaten:
        """Keep questions; call it every 20 seconds while somebody looks at them."""
        ends = inbox.heartbeat(caller.annotator, beat.leases)
        kept = {lease: at for lease, at in ends.items() if at is not None}
        return Beaten(expires_at=kept, lost=[lease for lease in ends if lease not in kept])

    @routes.delete("/leases/{lease}", status_code=204)
    def release(lease: LeaseName, caller: Annotated[Caller, person]) -> Response:
        """Give a question back."""
        inbox.release(caller.annotator, lease)
        return Response(status_code=204)

    @routes.get("/stats")
    def stats(caller: Annotated[Caller, _let_in(tokens, "annotator", "owner")]) -> Stats:
        """How things stand."""
        return inbox.stats(caller.annotator or None)

    return routes


def _answers(inbox: Inbox, tokens: InboxTokens) -> APIRouter:
    """What annotators say to them."""
    routes, typed = APIRouter(prefix="/api", tags=["annotator"]), TypedAnswers(inbox)
    person = _let_in(tokens, "annotator")

    @routes.put("/answers/{lease}", responses=MISSING)
    def answer(lease: LeaseName, body: AnswerBody, caller: Annotated[Caller, person]) -> Acknowledged:
        """Answer. The reply comes when the answer is on disk; the same uuid again gets the same reply."""
        try:
            given = body.given()
        except ValidationError as error:
            raise HTTPException(400, error.errors()[0]["msg"]) from error
        inbox.answer(caller.annotator, lease, body.uuid, given, typed.same)
        return Acknowledged(uuid=body.uuid, stats=inbox.stats(caller.annotator))

    @routes.post("/answers/{uuid}/undo", responses=MISSING)
    def undo(uuid: Uuid, caller: Annotated[Caller, person]) -> Undone:
        """Take an answer back, or amend it where the run has it already."""
        return Undone(item=inbox.undo(caller.annotator, uuid))

    @routes.post("/understand", responses=MISSING)
    def understand(body: Typed, caller: Annotated[Caller, person]) -> Understood:
        """How a typed answer would be read."""
        shown = sorted(inbox.item(caller.annotator, body.lease).answers, key=lambda one: one.choice)
        candidates = [one.text for one in shown]
        text = body.typed.strip()
        if not text:
            return Understood(answer=None, same_as=None, note="nothing is typed yet")
        place = typed.same(text, candidates)
        if place is None:
            return Understood(answer=text, same_as=None, note="a new answer")
        return Understood(answer=candidates[place], same_as=place, note="the same as one of the answers")

    return routes


def _owner(inbox: Inbox, tokens: InboxTokens) -> APIRouter:
    """What the owner of a run calls."""
    routes = APIRouter(prefix="/api", tags=["owner"], dependencies=[_let_in(tokens, "owner")])

    @routes.get("/overview")
    def overview() -> Overview:
        """Progress, budget, people, agreement and open leases."""
        return inbox.overview()

    @routes.get("/items")
    def items(
        after: WireNumber = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        state: QuestionState | None = None,
    ) -> Listing:
        """A page of the questions, in the order in which they were asked."""
        return inbox.items(after, limit, state)

    @routes.get("/export.jsonl", response_class=Response)
    def export_jsonl() -> StreamingResponse:
        """Every opinion with its provenance, one JSON object a line."""
        return _download(as_jsonl(inbox.export()), "application/x-ndjson", "labels.jsonl")

    @routes.get("/export.parquet", response_class=Response)
    def export_parquet() -> StreamingResponse:
        """The same as Parquet."""
        return _download(as_parquet(inbox.export()), "application/vnd.apache.parquet", "labels.parquet")

    return routes


def _run(inbox: Inbox, tokens: InboxTokens) -> APIRouter:
    """What a run calls whose ``label.ledger`` is this inbox."""
    routes = APIRouter(prefix="/api", tags=["run"], dependencies=[_let_in(tokens, "run")])

    @routes.post("/run/register")
    def register(body: RegisterBody) -> dict[str, str]:
        """Say how the run asks."""
        inbox.register(body.settings, body.gold)
        return {"run": body.settings.run}

    @routes.post("/run/questions", responses=MISSING)
    def ask(body: AskBody) -> Replies:
        """Ask the questions of a step; the same step again gets the same replies, but for what was answered since."""
        return inbox.ask(body.step.step(), [entry.question() for entry in body.questions])

    @routes.post("/run/owned")
    def owned(body: OwnedBody) -> Standings:
        """What was bought or asked before a step."""
        return inbox.owned(body.step.step(), body.prompt_ids)

    @routes.get("/run/open")
    def open_queries() -> list[str]:
        """The queries that wait for their answer."""
        return inbox.ledger.open()

    @routes.post("/run/withdraw")
    def withdraw(body: WithdrawBody) -> dict[str, int]:
        """Take questions back."""
        inbox.withdraw(body.queries)
        return {"asked": len(body.queries)}

    @routes.post("/run/waiting")
    def waiting(body: WaitingBody) -> dict[str, float]:
        """Tell people that the run waits for them."""
        inbox.wait_until(body.until)
        return {"until": body.until}

    @routes.get("/run/account", responses=MISSING)
    def account(step: WireNumber) -> Account:
        """How the account stands at the end of a step."""
        return inbox.account(step)

    @routes.get("/answers")
    async def answers(
        request: Request, after: WireNumber = 0, wait_s: Annotated[float, Query(ge=0, le=LONGEST_POLL_S)] = 0
    ) -> Told:
        """Late answers after a cursor; where there are none yet, those that come within ``wait_s``."""
        deadline = time.monotonic() + wait_s
        while True:
            cursor, found = await run_in_threadpool(inbox.answered, after)
            if found or time.monotonic() >= deadline or await request.is_disconnected():
                return Told(cursor=cursor, answers=found)
            await asyncio.sleep(POLL_S)

    return routes


def _pages(app: FastAPI) -> None:
    @app.get("/healthz", tags=["page"])
    def healthz() -> dict[str, str]:
        """It is there."""
        return {"status": "ok"}

    @app.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/owner", include_in_schema=False)
    def owner() -> FileResponse:
        return FileResponse(STATIC / "owner.html")

    app.mount("/static", StaticFiles(directory=STATIC), name="static")


def _let_in(tokens: InboxTokens, *roles: TokenRole) -> Any:
    return Depends(allowed(tokens, *roles))


def _download(chunks: Iterator[bytes], media_type: str, name: str) -> StreamingResponse:
    return StreamingResponse(
        chunks, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'}
    )


def _not_understood(_: Request, error: Exception) -> Response:
    """FastAPI's own reply repeats what was sent, and fails where that is no JSON: half a surrogate pair, or NaN."""
    assert isinstance(error, RequestValidationError)
    found = [{name: entry[name] for name in ("type", "loc", "msg")} for entry in error.errors()]
    return Response(json.dumps({"detail": found}), 422, media_type="application/json")


def _says(status: int) -> Any:
    def handler(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status)

    return handler
