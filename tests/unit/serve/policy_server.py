"""A policy's app around an engine that needs no model: it says which version it is, token for token."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from deploy.serve.policy.bodies import ChatBody, CompletionBody, SamplingBody
from deploy.serve.policy.source import ServedVersion

OLD, NEW = ServedVersion("demo@step-1", Path("step_1"), "a"), ServedVersion("demo@step-2", Path("step_2"), "b")
TOKEN = "a token of the tests"


class EchoEngine:
    """Answers with the version that it serves at that very moment; ``fails`` is raised when one is loaded."""

    def __init__(self, served: ServedVersion = OLD, token_s: float = 0.0) -> None:
        self.served, self._token_s = served, token_s
        self.alive = True
        self.fails: Exception | None = None
        self.seen: list[SamplingBody] = []
        self.loads: list[tuple[ServedVersion, str]] = []

    async def models(self) -> dict[str, Any]:
        return {"object": "list", "data": [{"id": self.served.name, "object": "model"}]}

    async def chat(self, body: ChatBody, request: Request) -> Response:
        return await self._answer(body)

    async def complete(self, body: CompletionBody, request: Request) -> Response:
        return await self._answer(body)

    async def load(self, version: ServedVersion, digest: str) -> None:
        self.loads.append((version, digest))
        if self.fails:
            raise self.fails
        await asyncio.sleep(self._token_s)
        self.served = version

    def stop(self) -> None:
        self.alive = False

    async def _answer(self, body: SamplingBody) -> Response:
        self.seen.append(body)
        longest = body.longest or 1
        if body.stream:
            return StreamingResponse(self._tokens(longest), media_type="text/event-stream")
        return JSONResponse({"tokens": [token async for token in self._tokens(longest)]})

    async def _tokens(self, longest: int) -> AsyncIterator[str]:
        for _ in range(longest):
            await asyncio.sleep(self._token_s)
            yield f"{self.served.name} "
