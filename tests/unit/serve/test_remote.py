"""A run whose inbox is elsewhere: the contract of an oracle, over HTTP, and what is said when nobody is there."""

from pathlib import Path

import httpx
import pytest
from conftest import Site
from reads import step_of

from actors.oracle import remote
from actors.oracle.remote import RemoteInbox
from effrl.errors import RunError, UserError


def test_without_a_token_or_with_another_one_says_what_to_export(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(remote.TOKEN, raising=False)
    with pytest.raises(UserError, match=remote.TOKEN):
        RemoteInbox("http://127.0.0.1:1")
    site.client.headers["Authorization"] = "Bearer guessed"
    with pytest.raises(UserError, match="does not take"):
        RemoteInbox("http://127.0.0.1:1", site.client).open()


def test_an_inbox_that_is_gone_ends_the_run_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(remote.time, "sleep", waits.append)
    gone = RemoteInbox("http://127.0.0.1:1", httpx.Client(base_url="http://127.0.0.1:1", timeout=1))
    with pytest.raises(RunError, match="cannot be reached"):
        gone.account(1)
    assert waits == [1, 2, 4, 8, 16]


def test_a_short_absence_is_waited_for(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote.time, "sleep", lambda seconds: None)
    calls = [0]

    def flaky(request: httpx.Request) -> httpx.Response:
        calls[0] += 1
        if calls[0] < 3:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json=["train/1/a"])

    client = httpx.Client(base_url="http://inbox", transport=httpx.MockTransport(flaky))
    assert RemoteInbox("http://inbox", client).open() == ["train/1/a"]


def test_a_run_registers_before_it_asks(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.client.headers["Authorization"] = f"Bearer {site.tokens.by_role['run']}"
    run = RemoteInbox("http://inbox", site.client)
    assert run.owned(step_of(2), ["a"]) == [None] and run.account(1).budget_left == 100
