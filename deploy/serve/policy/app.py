"""The policy's routes: a part of OpenAI's API, with the names and errors that its clients expect."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException

import effrl
from deploy.serve.policy.access import Bearer, ShortBodies, no
from deploy.serve.policy.bodies import ChatBody, CompletionBody, SamplingBody
from deploy.serve.policy.door import Door, Full
from deploy.serve.policy.source import ServedVersion
from effrl.errors import one_line

RETRY_S = 1
"""``Retry-After`` of a refusal for want of a place."""
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "What was sent is not understood, or does not fit."},
    401: {"description": "No token, or another one."},
    404: {"description": "There is no such model, or its version was replaced."},
    411: {"description": "A body without a length."},
    413: {"description": "A body that is too long."},
    422: {"description": "A body that does not fit the schema, or has an unknown key."},
    429: {"description": "Too many requests at a time; try again after Retry-After seconds."},
    503: {"description": "The engine is not there."},
}


class ServedPolicy(Protocol):
    """What answers."""

    @property
    def alive(self) -> bool:
        """Whether it can answer."""

    async def models(self) -> dict[str, Any]:
        """The body of ``/v1/models``."""

    async def chat(self, body: ChatBody, request: Request) -> Response:
        """Answer messages; where the body does not say how long, up to the limit."""

    async def complete(self, body: CompletionBody, request: Request) -> Response:
        """Go on from a text, as :meth:`chat` does."""

    async def load(self, version: ServedVersion, digest: str) -> None:
        """Take the weights of a version, and see by their digest that they were taken."""

    def stop(self) -> None:
        """End what it started."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one caller may take."""

    requests: int = 64
    """Requests that may be under way, or wait for a change of weights; more are refused with 429."""
    tokens: int = 1024
    """Longest completion, also where a request does not say."""


class Policy:
    """A policy that is served, once it has started."""

    def __init__(self, door: Door, served: ServedVersion) -> None:
        self.door, self.served = door, served
        self.engine: ServedPolicy | None = None
        self.broken = False
        """Whether the weights of a version were loaded in part."""

    @property
    def running(self) -> ServedPolicy:
        """The engine; raises HTTPException (503) where it is not there."""
        if self.engine is None or self.broken or not self.engine.alive:
            raise HTTPException(503, "the engine is not there: it is starting, or has died")
        return self.engine


def policy_app(
    policy: Policy,
    start: Callable[[], Awaitable[ServedPolicy]],
    follow: Callable[[Policy], Awaitable[None]] | None,
    limits: Limits,
    token: str | None,
) -> FastAPI:
    """The whole app.

    Args:
        start: starts the engine; called once there is an event loop.
        follow: watches for newer versions until it is cancelled.
        token: that callers must send.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        policy.engine = await start()
        watch = asyncio.ensure_future(follow(policy)) if follow else None
        yield
        if watch is not None:
            watch.cancel()
        policy.engine.stop()

    app = openai_app("effrl policy", lifespan)
    app.include_router(_answers(policy, limits, token))
    _health(app, policy)
    return app


def openai_app(title: str, lifespan: Any = None) -> FastAPI:
    """An app without routes that refuses as OpenAI's API does."""
    app = FastAPI(
        title=title, version=effrl.__version__, docs_url=None, redoc_url=None, lifespan=lifespan, responses=ERRORS
    )
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(
        UnicodeError, lambda _, __: no(400, "the body has half a surrogate pair, which is no text")
    )
    app.add_exception_handler(Full, _full)
    app.add_exception_handler(Exception, lambda _, error: no(500, one_line(error)))
    app.add_middleware(ShortBodies)
    return app


def admission(door: Door) -> Any:
    """A dependency that holds a place until the answer has been sent to its end."""

    async def admitted() -> AsyncIterator[None]:
        async with door.entered():
            yield

    return Depends(admitted)


def _answers(policy: Policy, limits: Limits, token: str | None) -> APIRouter:
    routes = APIRouter(prefix="/v1", tags=["policy"], dependencies=[Depends(Bearer(token))])
    place = [admission(policy.door)]

    @routes.get("/models")
    async def models() -> dict[str, Any]:
        """The version that is served, under its own name and under that of its run."""
        return await policy.running.models()

    @routes.post("/chat/completions", dependencies=place, response_model=None)
    async def chat(body: ChatBody, request: Request) -> Response:
        """Answer messages, through the model's chat template."""
        _check(body, limits)
        return await policy.running.chat(body, request)

    @routes.post("/completions", dependencies=place, response_model=None)
    async def complete(body: CompletionBody, request: Request) -> Response:
        """Go on from a text."""
        _check(body, limits)
        return await policy.running.complete(body, request)

    return routes


def _health(app: FastAPI, policy: Policy) -> None:
    @app.get("/healthz", tags=["health"])
    async def healthz() -> dict[str, Any]:
        """Which version is served, and how many answers are under way."""
        assert policy.running
        return {"status": "ok", "model": policy.served.name, "answering": policy.door.inside}


def _check(body: SamplingBody, limits: Limits) -> None:
    if (body.longest or 0) > limits.tokens:
        raise HTTPException(400, f"{body.longest} tokens are more than this server gives: ask for {limits.tokens}")


def _not_understood(_: Request, error: Exception) -> Response:
    """Says every problem with its place; what was sent is not repeated, as it may be no JSON."""
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    places = [".".join(str(part) for part in problem["loc"] if part != "body") for problem in problems]
    told = "; ".join(f"{place or 'body'}: {problem['msg']}" for place, problem in zip(places, problems, strict=True))
    as_text = [text.encode("utf-8", "replace").decode() for text in (told, places[0])]  # a key may be half a pair
    return no(422, as_text[0], as_text[1] or None)


def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    return no(error.status_code, error.detail, headers=dict(error.headers or {}))


def _full(_: Request, error: Exception) -> Response:
    return no(429, "as many requests are under way as are taken at a time", headers={"Retry-After": str(RETRY_S)})
