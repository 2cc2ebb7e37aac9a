"""What people do before the pages, and what they see there."""

import time
from collections.abc import Callable

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect


def answers(page: Page) -> list[str]:
    return page.locator("#answers .answer label > .text").all_inner_texts()


def key_of(page: Page, text: str) -> str:
    return str(answers(page).index(text) + 1)


def on_screen(page: Page, number: int) -> None:
    expect(page.locator("#prompt")).to_contain_text(f"Question {number}:")


def all_saved(page: Page) -> None:
    expect(page.locator("#saved")).to_have_text("All saved")


def say(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def eventually(page: Page, holds: Callable[[], bool]) -> None:
    """Of what the page does not say. Playwright's handlers run while it waits."""
    end = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < end
        page.wait_for_timeout(10)


def sign_in(page: Page, token: str = "tok-annotator", name: str = "ann") -> None:
    page.locator("#token").fill(token)
    page.locator("#name").fill(name)
    page.locator("#signin button").click()


def accessible(page: Page) -> None:
    """What axe-core finds serious or critical in the state that is on the screen: nothing."""
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []
