"""One Chromium for the tests of a file, and people who sit before it."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.served import ServedInbox, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
WIDTH, HEIGHT = 1000, 760

Sit = Callable[..., "Page"]


def pytest_collect_file() -> None:
    """Said once for the folder, and in the summary of a test run."""
    missing = [name for name in ("playwright", "axe_playwright_python") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the pages are not tested: {missing} are not installed (the dev extra)")
    if CHROMIUM is None:
        pytest.skip("the pages are not tested: there is no chromium (apt-get install chromium)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect, sync_playwright

    with sync_playwright() as playwright:
        expect.set_options(timeout=30_000)  # a busy machine is no failure
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def inbox(tmp_path: Path) -> ServedInbox:
    return ServedInbox(tmp_path)


@pytest.fixture
def url(inbox: ServedInbox) -> Iterator[str]:
    """A server of its own, so that what is still under way from the test before reaches nobody."""
    with served(inbox) as url:
        yield url


@pytest.fixture
def sit(browser: Browser, url: str) -> Iterator[Sit]:
    """Opens the page for a person in a browser of their own. Whatever a test does, no script fails or is refused by
    the policy, and nothing is asked of another host."""
    wrong: list[str] = []
    contexts = []

    def sit(name: str = "ann", *, path: str = "/", token: str = "tok-annotator", **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": WIDTH, "height": HEIGHT}} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text) if "Content Security" in line.text else None)
        page.on(
            "request", lambda asked: None if asked.url.startswith((url, "data:", "blob:")) else wrong.append(asked.url)
        )
        page.goto(f"{url}{path}#token={token}&name={name}" if token else f"{url}{path}")
        return page

    yield sit
    for context in contexts:
        context.close()
    assert wrong == []
