"""A hint to somebody's server that people are wanted, or that answers came. It carries no data, and may be lost."""

import asyncio
import hashlib
import hmac
import json
import os
import time
from dataclasses import dataclass

import httpx
from starlette.concurrency import run_in_threadpool

from effrl.errors import UserError
from effrl.label.oracle.inbox.store import Inbox

SECRET = "EFFRL_WEBHOOK_SECRET"
"""Environment variable of the secret that hints are signed with."""
LOOK_S, TIMEOUT_S = 2.0, 10.0
TRIES, PAUSE_S = 4, 1.0
"""The pause doubles from try to try."""


@dataclass
class Webhook:
    """Posts ``{"event": "waiting" | "answered", "at": …}`` with ``X-Effrl-Signature: sha256=HMAC(secret, body)``."""

    url: str
    secret: str

    async def watch(self, inbox: Inbox) -> None:
        """Look every few seconds; say when questions begin to wait, and when there are more answers than before."""
        before = await run_in_threadpool(inbox.stats)
        while True:
            await asyncio.sleep(LOOK_S)
            now = await run_in_threadpool(inbox.stats)
            if now.open and not before.open:
                await self.post("waiting")
            if now.answered > before.answered:
                await self.post("answered")
            before = now

    async def post(self, event: str) -> bool:
        """Send one hint, a few times if need be; False where nobody took it."""
        body = json.dumps({"event": event, "at": round(time.time(), 3)}).encode()
        signature = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {"content-type": "application/json", "x-effrl-signature": f"sha256={signature}"}
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            for attempt in range(TRIES):
                try:
                    if (await client.post(self.url, content=body, headers=headers)).is_success:
                        return True
                except httpx.TransportError:
                    pass  # a hint: who wants to know looks for themselves
                await asyncio.sleep(PAUSE_S * 2**attempt)
        return False


def webhook_to(url: str | None) -> Webhook | None:
    """The webhook of a command line.

    Raises:
        UserError: it is no address, or there is no secret to sign with.
    """
    if url is None:
        return None
    if not _is_address(url):
        raise UserError(f"--webhook {url} is no address: write it as https://host/path")
    secret = os.environ.get(SECRET)
    if not secret:
        raise UserError(f"--webhook signs its hints with {SECRET}, which is not set: export a secret of your own")
    return Webhook(url, secret)


def _is_address(url: str) -> bool:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parts.scheme in ("http", "https") and bool(parts.host)
