"""Who may call an API of OpenAI's shape, with bodies of what length, and how it says no."""

import hmac
import os
from typing import Annotated

from fastapi import Depends, HTTPException
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.serve.length import unfit_length
from effrl.errors import UserError

TOKEN = "EFFRL_SERVE_TOKEN"
"""Environment variable of the token."""
MOST_BYTES = 4 * 2**20
"""Of a body."""
bearer = HTTPBearer(auto_error=False, description=f"The token of {TOKEN}.")
_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 503: "service_unavailable"}


def the_token(needed: bool) -> str | None:
    """The token that callers must send; None where everybody who reaches the address may call.

    Raises:
        UserError: one is needed, and none is set or it is too short to be a secret.
    """
    token = os.environ.get(TOKEN, "")
    if token and len(token) < 16:
        raise UserError(f"{TOKEN} is shorter than 16 characters and could be guessed: openssl rand -hex 24 makes one")
    if needed and not token:
        raise UserError(f"other machines can reach this address: set {TOKEN}, for example to `openssl rand -hex 24`")
    return token or None


class Bearer:
    """A dependency that lets in who sends the token."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, sent: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        if self._token is None:
            return
        if sent is None or not hmac.compare_digest(sent.credentials.encode(), self._token.encode()):
            raise HTTPException(401, f"send the token of {TOKEN} as a bearer token", {"WWW-Authenticate": "Bearer"})


class ShortBodies:
    """Refuses bodies that are too long or of unknown length."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = unfit_length(dict(scope["headers"]), MOST_BYTES) if scope["type"] == "http" else None
        await (self._app if refused is None else no(*refused))(scope, receive, send)


def no(status: int, message: str, param: str | None = None, headers: dict[str, str] | None = None) -> JSONResponse:
    """A refusal as clients of OpenAI's API read it."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    error = {"message": message, "type": kind, "param": param, "code": status}
    return JSONResponse({"error": error}, status, headers)
