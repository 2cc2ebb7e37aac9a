"""``effrl labels serve`` is killed while two people answer: what they confirmed is there once, and nothing else is."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.acts import key_of, say
from tests.browser.served import ServedInbox, questions

ANSWERS = ("10", "20", "30")
STEPS = 6


class Killable:
    """The command in a process of its own, at one address."""

    def __init__(self, ledger: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", "effrl", "labels", "serve", str(ledger), "--port", str(port)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while True:
            try:
                return urllib.request.urlopen(f"{self.url}/healthz", timeout=5).close()
            except OSError:
                assert time.monotonic() < end and self._process.poll() is None
                time.sleep(0.1)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server(inbox: ServedInbox, tmp_path: Path) -> Iterator[Killable]:
    server = Killable(tmp_path / "ledger.sqlite")
    yield server
    server.kill()


def answer(page: Page, said: dict[str, str]) -> None:
    """What stands on the screen, and wait for another one, or none."""
    shown = page.locator("#prompt")
    text = shown.inner_text()
    number = int(text.partition(":")[0].removeprefix("Question "))
    said[f"p{number}"] = ANSWERS[number % 3]
    say(page, key_of(page, ANSWERS[number % 3]), "Enter")
    expect(page.locator("#prompt:visible", has_text=f"Question {number}:")).to_have_count(0)


def test_no_answer_is_lost_or_doubled(browser: Browser, inbox: ServedInbox, server: Killable, tmp_path: Path) -> None:
    """It is killed twice while both go on, and the pages are loaded anew in between."""
    inbox.ask(questions(2 * STEPS + 8))
    token = json.loads((tmp_path / "inbox-tokens.json").read_text())["annotator"]
    people = [browser.new_page(), browser.new_page()]
    said: dict[str, str] = {}
    for name, page in zip(("ann", "bob"), people, strict=True):
        page.goto(f"{server.url}#token={token}&name={name}")
    for step in range(STEPS):
        for page in people:
            expect(page.locator("#card")).to_be_visible(timeout=30_000)  # the page asks again after 10 s at most
            if step == 3:
                page.reload()
                expect(page.locator("#card")).to_be_visible()
            answer(page, said)
        if step in (1, 4):
            server.kill()
            for page in people:
                answer(page, said)
            server.start()
    for page in people:
        expect(page.locator("#saved")).to_have_text("All saved", timeout=30_000)
        page.close()
    assert len(said) == 2 * (STEPS + 2)
    assert {opinion["prompt_id"]: opinion["answer"] for opinion in inbox.opinions()} == said
    assert len(inbox.opinions()) == len(said)
