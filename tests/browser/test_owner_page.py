"""The owner's page in a browser."""

import json
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.acts import accessible, on_screen, say
from tests.browser.conftest import Sit
from tests.browser.served import ServedInbox, questions

NONE = "\u2013"


def owner(sit: Sit) -> Page:
    page = sit(path="/owner", token="tok-owner")
    expect(page.locator("#overview")).to_be_visible()
    return page


def rows(page: Page, table: str) -> list[list[str]]:
    return [row.locator("td").all_inner_texts() for row in page.locator(f"#{table} tbody tr").all()]


def number(page: Page, name: str) -> str:
    return page.locator("#numbers div", has=page.get_by_text(name, exact=True)).locator("dd").inner_text()


def test_the_owner_sees_who_did_what(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(5))
    ann = sit("ann")
    on_screen(ann, 0)
    say(ann, "1", "Enter", "s", "1")
    expect(ann.locator("#saved")).to_have_text("All saved")
    page = owner(sit)
    expect(page.locator("#annotators tbody tr")).to_have_count(1)
    [known] = inbox.store.overview().annotators
    trust = f"{100 * known.reliability:.0f} %"
    name, answered, skipped, seconds, *others = rows(page, "annotators")[0][:8]
    assert [name, answered, skipped, *others] == ["ann", "1", "1", NONE, NONE, NONE, trust]
    assert re.fullmatch(r"\d+ s", seconds)
    assert [row[1] for row in rows(page, "leases")] == ["ann", "ann"]
    assert number(page, "of 200 labels left") == "195" and number(page, "agreement of annotators") == NONE
    assert [number(page, state) for state in ("open", "answered", "skipped")] == ["4", "1", "0"]
    accessible(page)


def test_questions_are_paged_and_filtered(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(120))
    page = owner(sit)
    first = page.locator("#items tbody tr").first.locator("td").nth(1)
    for button, expected in (("#older", "p50"), ("#older", "p100"), ("#newer", "p50")):
        page.locator(button).click()
        expect(first).to_have_text(expected)
    page.locator("#state").select_option("withdrawn")
    expect(page.locator("#items")).to_have_text("There is no question in this state.")
    expect(page.locator("#older")).to_be_disabled()


def test_the_page_is_read_anew(inbox: ServedInbox, sit: Sit) -> None:
    page = sit(path="/owner", token="")
    page.clock.install()
    page.locator("#token").fill("tok-owner")
    page.locator("#signin button").click()
    expect(page.locator("#items")).to_have_text("There is no question in this state.")
    inbox.ask(questions(1))
    page.clock.run_for(5100)
    expect(page.locator("#items tbody tr")).to_have_count(1)


def test_an_export_is_saved_as_a_file(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(1))
    inbox.answer_elsewhere("ann")
    page = owner(sit)
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON lines").click()
    assert download.value.suggested_filename == "labels.jsonl"
    [row] = map(json.loads, Path(download.value.path()).read_text().splitlines())
    assert (row["uuid"], row["annotator"], row["answer"]) == ("elsewhere", "ann", "10")


def test_an_annotator_s_token_opens_nothing(inbox: ServedInbox, sit: Sit) -> None:
    page = sit(path="/owner", token="tok-annotator")
    expect(page.locator("#why")).to_contain_text("This is the annotator's token")
    expect(page.locator("#overview")).to_be_hidden()


def test_no_table_widens_the_page(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(5))
    on_screen(sit("a-name-of-as-many-letters-as-there-may-be"[:40]), 0)
    for width in (320, 500):
        page = sit(path="/owner", token="tok-owner", viewport={"width": width, "height": 600})
        expect(page.locator("#leases tbody tr")).to_have_count(2)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
