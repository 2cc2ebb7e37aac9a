"""The annotator's page in a browser: what is said by key."""

import re

from playwright.sync_api import expect

from tests.browser.acts import all_saved, answers, eventually, key_of, on_screen, say, sign_in
from tests.browser.conftest import Sit
from tests.browser.served import ServedInbox, questions


def test_an_answer_is_chosen_and_confirmed_by_key(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(2))
    page = sit()
    on_screen(page, 0)
    say(page, key_of(page, "20"), "Enter")
    on_screen(page, 1)
    all_saved(page)
    [answer] = inbox.opinions()
    said = {key: answer[key] for key in ("choice", "typed", "skip", "note", "annotator", "prompt_id")}
    assert said == {"choice": 1, "typed": None, "skip": None, "note": "", "annotator": "ann", "prompt_id": "p0"}
    assert 0 < answer["think_ms"] < 60_000
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", answer["uuid"])
    expect(page.locator("#mine")).to_have_text("1 by you")
    expect(page.locator("#left")).to_have_text("198 of 200 labels left")


def test_nothing_is_said_by_enter_alone(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(2))
    page = sit()
    on_screen(page, 0)
    say(page, "Enter")
    expect(page.locator("#say")).to_have_text("Choose an answer, type one, or skip.")
    say(page, "t", "Enter")
    expect(page.locator("#say")).to_have_text("Type the answer first.")
    on_screen(page, 0)
    assert inbox.said() == []


def test_a_typed_answer_shows_how_it_was_understood(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(2))
    page = sit()
    on_screen(page, 0)
    say(page, "t")
    page.keyboard.type("7 su")  # the letters are text here, no keys
    expect(page.locator("#understood")).to_have_text("A new answer, read as 7 su.")
    page.locator("#typed").fill("20")
    expect(page.locator("#understood")).to_have_text(f"Same as answer {key_of(page, '20')}: they are merged.")
    page.locator("#typed").fill("?")
    expect(page.locator("#understood")).to_have_text("A new answer, read as ?.")
    page.locator("#typed").fill("20")
    say(page, "Escape", "Enter")
    on_screen(page, 1)
    all_saved(page)
    [opinion] = inbox.opinions()
    assert (opinion["typed"], opinion["choice"], opinion["answer"]) == ("20", 1, "20")


def test_a_skip_needs_a_reason(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(3))
    page = sit()
    on_screen(page, 0)
    say(page, "s", "Escape", "s", "2")
    on_screen(page, 1)
    say(page, "n")
    page.keyboard.type("no x is given")
    say(page, "Escape", "s", "3")
    on_screen(page, 2)
    all_saved(page)
    assert inbox.said() == ["ambiguous", "bad_prompt"]
    assert [opinion["note"] for opinion in inbox.opinions()] == ["", "no x is given"]


def test_an_answer_is_taken_back(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(3))
    page = sit()
    on_screen(page, 0)
    say(page, key_of(page, "20"), "Enter")
    on_screen(page, 1)
    all_saved(page)
    inbox.fetch()
    say(page, "u")
    on_screen(page, 0)
    expect(page.locator("#answers .answer", has=page.locator("em"))).to_contain_text("20")
    expect(page.locator("#amends")).to_be_visible()
    say(page, key_of(page, "30"), "Enter")
    on_screen(page, 1)
    all_saved(page)
    assert [opinion["standing"] for opinion in inbox.opinions()] == ["counts", "amendment"]
    assert inbox.said() == [1, 2]


def test_a_solution_unfolds_by_key(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(1))
    page = sit()
    on_screen(page, 0)
    say(page, "o")
    expect(page.locator("#say")).to_have_text("Choose an answer first.")
    say(page, key_of(page, "30"), " ")
    solution = page.locator(".solution:visible")
    expect(solution).to_contain_text("is 3.")
    expect(solution.locator(".katex")).to_have_count(1)
    say(page, "o")
    expect(solution).to_have_count(0)


def test_who_moves_by_tab_chooses_by_space(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(1))
    page = sit()
    on_screen(page, 0)
    second = page.locator("#answers input").nth(1)
    second.focus()
    say(page, " ")
    expect(second).to_be_checked()
    expect(page.locator(".solution:visible")).to_have_count(0)
    say(page, " ")
    expect(page.locator(".solution:visible")).to_have_count(1)


def test_keys_of_a_letter_can_be_switched_off(inbox: ServedInbox, sit: Sit) -> None:
    """WCAG 2.1.4: who dictates would press them by speaking."""
    inbox.ask(questions(2))
    page = sit()
    on_screen(page, 0)
    say(page, "?")
    page.locator("#single").uncheck()
    say(page, "Escape", "2", "s")
    expect(page.locator("#reasons")).to_be_hidden()
    assert page.locator("input:checked[name=answer]").count() == 0
    page.locator("#answers label").first.click()
    say(page, "Enter")
    on_screen(page, 1)


def test_two_people_see_other_orders_and_other_items(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(6))
    ann = sit("ann")
    on_screen(ann, 0)
    bob = sit("bob")
    on_screen(bob, 2)
    assert sorted(answers(ann)) == sorted(answers(bob)) and answers(ann) != answers(bob)


def test_token_and_name_are_asked_for(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(2))
    page = sit(token="")
    sign_in(page, name="ann; drop")
    expect(page.locator("#why")).to_contain_text("A name has 1 to 40 letters")
    sign_in(page, token="wrong")
    expect(page.locator("#why")).to_have_text("The server does not know this token.")
    expect(page.locator("#card")).to_be_hidden()
    sign_in(page, token="tok-owner")
    expect(page.locator("#why")).to_contain_text("the owner's")
    sign_in(page)
    on_screen(page, 0)


def test_a_pause_gives_the_questions_to_others(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(2))
    page = sit()
    on_screen(page, 0)
    say(page, "t")
    page.keyboard.type("begun")
    page.locator("#pause").click()
    expect(page.locator("#idle")).to_have_text("Paused")
    eventually(page, lambda: inbox.leased() == [])
    bob = sit("bob")
    on_screen(bob, 0)
    bob.locator("#pause").click()
    eventually(bob, lambda: inbox.leased() == [])
    page.locator("#resume").click()
    on_screen(page, 0)
    expect(page.locator("#typed")).to_have_value("begun")
