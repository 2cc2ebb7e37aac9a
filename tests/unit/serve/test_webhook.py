"""Hints: signed, tried again, without data, and lost without harm."""

import asyncio
import hashlib
import hmac
import json

import httpx
import pytest
from conftest import Site

from deploy.serve.inbox import webhook
from deploy.serve.inbox.webhook import SECRET, Webhook, webhook_to
from effrl.errors import UserError


class Receiver:
    """Fails as often as told, then takes hints."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failures: int = 0) -> None:
        self.requests: list[httpx.Request] = []
        self._failures, client = failures, httpx.AsyncClient
        transport = httpx.MockTransport(self._take)
        monkeypatch.setattr(webhook, "PAUSE_S", 0.0)
        monkeypatch.setattr(webhook, "LOOK_S", 0.01)
        monkeypatch.setattr(webhook.httpx, "AsyncClient", lambda **given: client(transport=transport, **given))

    def _take(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if len(self.requests) <= self._failures:
            raise httpx.ConnectError("refused")
        return httpx.Response(204)

    @property
    def events(self) -> list[str]:
        return [json.loads(request.content)["event"] for request in self.requests]


def test_a_hint_is_signed_and_says_nothing_but_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = Receiver(monkeypatch)
    assert asyncio.run(Webhook("http://hints/", "secret").post("waiting"))
    [request] = receiver.requests
    signature = hmac.new(b"secret", request.content, hashlib.sha256).hexdigest()
    assert request.headers["x-effrl-signature"] == f"sha256={signature}"
    assert set(json.loads(request.content)) == {"event", "at"}


@pytest.mark.parametrize("failures, taken, tries", [(3, True, 4), (9, False, 4)])
def test_a_hint_is_tried_a_few_times(monkeypatch: pytest.MonkeyPatch, failures: int, taken: bool, tries: int) -> None:
    receiver = Receiver(monkeypatch, failures)
    assert asyncio.run(Webhook("http://hints/", "secret").post("waiting")) is taken
    assert len(receiver.requests) == tries


def test_people_are_called_when_questions_come_and_the_run_when_answers_do(
    monkeypatch: pytest.MonkeyPatch, empty: Site
) -> None:
    receiver = Receiver(monkeypatch)

    async def day() -> None:
        watch = asyncio.create_task(Webhook("http://hints/", "secret").watch(empty.inbox))
        await asyncio.sleep(0.3)
        empty.ask(1)
        await asyncio.sleep(0.3)
        assert receiver.events == ["waiting"]
        empty.put(empty.take()[0]["lease"], uuid="u", choice=0)
        await asyncio.sleep(0.3)
        watch.cancel()
        assert receiver.events == ["waiting", "answered"]

    asyncio.run(day())


def test_hints_need_a_secret_and_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SECRET, raising=False)
    assert webhook_to(None) is None
    with pytest.raises(UserError, match=SECRET):
        webhook_to("http://hints/")
    monkeypatch.setenv(SECRET, "secret")
    for wrong in ("hints", "ftp://hints/", "http://a:b", "http://"):
        with pytest.raises(UserError, match="--webhook"):
            webhook_to(wrong)
    assert webhook_to("https://hints/a") == Webhook("https://hints/a", "secret")
