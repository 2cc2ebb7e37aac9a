"""The owner's page in a browser."""

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.acts import accessible, on_screen, questions, say
from tests.browser.conftest import Sit
from tests.browser.fake_inbox import FakeInbox


def owner(sit: Sit) -> Page:
    page = sit(path="/owner", token="tok-owner")
    expect(page.locator("#overview")).to_be_visible()
    return page


def rows(page: Page, table: str) -> list[list[str]]:
    return [row.locator("td").all_inner_texts() for row in page.locator(f"#{table} tbody tr").all()]


def number(page: Page, name: str) -> str:
    return page.locator("#numbers div", has=page.get_by_text(name, exact=True)).locator("dd").inner_text()


def test_the_owner_sees_who_did_what(inbox: FakeInbox, sit: Sit) -> None:
    inbox.reset(questions(5))
    ann = sit("ann")
    on_screen(ann, 0)
    say(ann, "1", "Enter")
    expect(ann.locator("#saved")).to_have_text("All saved")
    page = owner(sit)
    expect(page.locator("#annotators tbody tr")).to_have_count(1)
    assert rows(page, "annotators")[0][:8] == ["ann", "1", "0", "14 s", "4 of 4", "3 of 3", "\u2013", "93 %"]
    assert [row[:2] for row in rows(page, "leases")] == [["q1", "ann"], ["q2", "ann"]]
    assert number(page, "labels left") == "119 of 120" and number(page, "agreement of annotators") == "91 %"
    accessible(page)


def test_questions_are_paged_and_filtered(inbox: FakeInbox, sit: Sit) -> None:
    inbox.reset(questions(120))
    inbox.answered["q7"] = ""
    page = owner(sit)
    first = page.locator("#items tbody tr").first
    for button, expected in (("#older", "query-q50"), ("#older", "query-q100"), ("#newer", "query-q50")):
        page.locator(button).click()
        expect(first).to_contain_text(expected)
    page.locator("#state").select_option("withdrawn")
    expect(page.locator("#items")).to_have_text("There is no question in this state.")
    expect(page.locator("#older")).to_be_disabled()


def test_the_page_is_read_anew(inbox: FakeInbox, sit: Sit) -> None:
    page = sit(path="/owner", token="")
    page.clock.install()
    page.locator("#token").fill("tok-owner")
    page.locator("#signin button").click()
    expect(page.locator("#items")).to_have_text("There is no question in this state.")
    inbox.items = {"q0": questions(1)[0]}
    page.clock.run_for(5100)
    expect(page.locator("#items tbody tr")).to_have_count(1)


def test_an_export_is_saved_as_a_file(inbox: FakeInbox, sit: Sit) -> None:
    inbox.answers["one"] = {"annotator": "ann", "skip": None, "typed": None, "choice": 1}
    page = owner(sit)
    with page.expect_download() as download:
        page.get_by_role("button", name="JSON lines").click()
    assert download.value.suggested_filename == "labels.jsonl"
    assert Path(download.value.path()).read_text() == '{"uuid": "one"}\n'


def test_an_annotator_s_token_opens_nothing(inbox: FakeInbox, sit: Sit) -> None:
    page = sit(path="/owner", token="tok-annotator")
    expect(page.locator("#why")).to_contain_text("This is the annotator's token")
    expect(page.locator("#overview")).to_be_hidden()


def test_no_table_widens_the_page(inbox: FakeInbox, sit: Sit) -> None:
    inbox.reset(questions(5))
    on_screen(sit("a-name-of-as-many-letters-as-there-may-be"[:40]), 0)
    for width in (320, 500):
        page = sit(path="/owner", token="tok-owner", viewport={"width": width, "height": 600})
        expect(page.locator("#leases tbody tr")).to_have_count(2)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
