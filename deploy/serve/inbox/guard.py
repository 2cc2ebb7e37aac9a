"""Who may call what, and what every reply carries."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Header, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.serve.inbox.tokens import ROLES, InboxTokens
from deploy.serve.length import unfit_length
from effrl.label.oracle.inbox.messages import TokenRole

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a page of ours may load and do: nothing from elsewhere, and no script or style inside of the page."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
}
MOST_BYTES = 16 * 2**20
"""Of a body: a step's questions with their solutions are far below."""
NAME = re.compile(r"[\w .@-]{1,40}")

bearer = HTTPBearer(auto_error=False, description="The token of a role.")


@dataclass(frozen=True)
class Caller:
    """Who calls; annotators say who they are."""

    role: TokenRole
    annotator: str = ""


def allowed(tokens: InboxTokens, *roles: TokenRole) -> Callable[..., Caller]:
    """A dependency that lets in callers of these roles, any of them if none is named."""

    def caller(
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
        x_annotator: Annotated[str, Header(description="Who the annotator is, percent-encoded.")] = "",
    ) -> Caller:
        role = tokens.role_of(credentials.credentials) if credentials else None
        if role is None:
            raise HTTPException(401, "send one of the inbox's tokens as a bearer token", {"WWW-Authenticate": "Bearer"})
        if role not in (roles or ROLES):
            raise HTTPException(403, f"this needs the token of the {' or '.join(roles)}, and yours is the {role}'s")
        name = unquote(x_annotator).strip()
        if role == "annotator" and not NAME.fullmatch(name):
            raise HTTPException(400, "say who you are in X-Annotator: up to 40 letters, digits, spaces and . @ _ -")
        return Caller(role, name)

    return caller


class Guard:
    """Refuses bodies that are too long or of unknown length, and puts the headers on every reply."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                # Scripts of two versions do not fit together: a browser asks each time whether its copy is the newest.
                headers["cache-control"] = "no-store" if scope["path"].startswith("/api/") else "no-cache"
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif (refusal := _refusal(dict(scope["headers"]))) is not None:
            await refusal(scope, receive, guarded)
        else:
            await self._app(scope, receive, guarded)


def _refusal(headers: dict[bytes, bytes]) -> JSONResponse | None:
    refused = unfit_length(headers, MOST_BYTES)
    return None if refused is None else JSONResponse({"detail": refused[1]}, refused[0])
