"""No answer is lost or said twice: reloads, a network that is cut, a server that is away, other tabs."""

import pytest
from playwright.sync_api import Route, expect

from tests.browser.acts import all_saved, eventually, key_of, on_screen, say, sign_in
from tests.browser.conftest import Sit
from tests.browser.served import ServedInbox, questions


def test_a_reload_goes_on_with_the_item_and_what_was_typed(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(3))
    page = sit()
    on_screen(page, 0)
    say(page, "t")
    page.keyboard.type("7 apples")
    page.reload()
    on_screen(page, 0)
    expect(page.locator("#typed")).to_have_value("7 apples")
    expect(page.locator("#own")).to_be_checked()
    assert page.evaluate("location.hash") == "", "the token is not left in the address"
    assert inbox.leased() == ["ann", "ann"], "nothing else was leased"
    say(page, "Enter")
    on_screen(page, 1)
    expect(page.locator("#typed")).to_have_value("")


def test_answers_without_a_network_are_sent_after(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(4))
    page = sit()
    on_screen(page, 0)
    page.context.set_offline(True)
    say(page, "1", "Enter")
    on_screen(page, 1)
    say(page, "2", "Enter")
    expect(page.locator("#saved")).to_have_text("Offline · 2 unsent")
    expect(page.locator("#empty")).to_be_visible()
    assert inbox.said() == []
    page.context.set_offline(False)
    all_saved(page)
    on_screen(page, 2)
    assert [opinion["prompt_id"] for opinion in inbox.opinions()] == ["p0", "p1"]


def test_unsent_answers_survive_a_reload(inbox: ServedInbox, sit: Sit) -> None:
    """The server is killed after the page has come: nothing but the answers fails."""
    inbox.ask(questions(4))
    page = sit()
    on_screen(page, 0)
    page.route("**/api/answers/**", lambda route: route.abort())
    say(page, key_of(page, "30"), "Enter")
    expect(page.locator("#saved")).to_contain_text("1 unsent")
    page.reload()
    on_screen(page, 1)
    assert inbox.said() == []
    page.unroute("**/api/answers/**")
    all_saved(page)
    assert inbox.said() == [2]


def test_an_answer_that_arrived_unheard_is_stored_once(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(4))
    page = sit()
    on_screen(page, 0)
    tried: list[str] = []

    def lose_the_first_reply(route: Route) -> None:
        tried.append(route.request.post_data_json["uuid"])
        if len(tried) > 1:
            return route.continue_()
        route.fetch()
        return route.abort()

    page.route("**/api/answers/*", lose_the_first_reply)
    say(page, "1", "Enter")
    all_saved(page)
    eventually(page, lambda: len(tried) >= 2)
    assert tried == [opinion["uuid"] for opinion in inbox.opinions()] * 2


def test_what_was_never_sent_is_taken_back_in_silence(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(4))
    page = sit()
    on_screen(page, 0)
    page.context.set_offline(True)
    say(page, key_of(page, "10"), "Enter")
    on_screen(page, 1)
    say(page, key_of(page, "20"), "Enter")
    expect(page.locator("#saved")).to_have_text("Offline · 2 unsent")
    say(page, "u")
    on_screen(page, 1)
    expect(page.locator("#saved")).to_have_text("Offline · 1 unsent")
    say(page, key_of(page, "30"), "Enter")
    page.context.set_offline(False)
    all_saved(page)
    assert inbox.said() == [0, 2]
    assert [call for call in inbox.calls if call.endswith("/undo")] == []


@pytest.mark.parametrize("arrived", [True, False])
def test_what_was_sent_in_vain_is_taken_back_wherever_it_is(inbox: ServedInbox, sit: Sit, arrived: bool) -> None:
    """Nobody knows whether the first answer arrived: the second one must stand in both cases."""
    inbox.ask(questions(4))
    page = sit()
    on_screen(page, 0)

    def cut(route: Route) -> None:
        if arrived:
            route.fetch()
        route.abort()

    page.route("**/api/answers/*", cut)
    say(page, key_of(page, "10"), "Enter")
    expect(page.locator("#saved")).to_contain_text("1 unsent")
    say(page, "u")
    on_screen(page, 0)
    page.unroute("**/api/answers/*")
    say(page, key_of(page, "20"), "Enter")
    on_screen(page, 1)
    all_saved(page)
    assert inbox.said() == [1]
    expect(page.locator("#problems")).to_be_empty()


def test_taking_back_is_said_once_though_its_reply_is_lost(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(4))
    page = sit()
    on_screen(page, 0)
    say(page, key_of(page, "10"), "Enter")
    on_screen(page, 1)
    all_saved(page)
    lost: list[Route] = []

    def lose_the_first_reply(route: Route) -> None:
        if lost:
            return route.continue_()
        lost.append(route)
        route.fetch()
        return route.abort()

    page.route("**/undo", lose_the_first_reply)
    say(page, "u")
    on_screen(page, 0)
    say(page, key_of(page, "20"), "Enter")
    on_screen(page, 1)
    all_saved(page)
    eventually(
        page, lambda: inbox.said() == [1]
    )  # the page says so of the answer, and tries to take back again by itself
    assert lost
    expect(page.locator("#problems")).to_be_empty()


FILL = """
for (let size = 2 ** 22; size >= 1; size /= 2) {
  for (let number = 0; ; number++) {
    try { localStorage.setItem(`fill-${size}-${number}`, "x".repeat(size)); } catch { break; }
  }
}
"""


def test_an_answer_that_cannot_be_kept_is_not_taken(inbox: ServedInbox, sit: Sit) -> None:
    """The browser's storage is full: the question stays, and the next key says the same until there is room."""
    inbox.ask(questions(4))
    page = sit()
    on_screen(page, 0)
    page.evaluate(FILL)
    say(page, "1", "Enter")
    expect(page.locator("#problems")).to_contain_text("the answer is not taken")
    on_screen(page, 0)
    assert inbox.said() == []
    page.evaluate("for (const key of Object.keys(localStorage)) if (/^fill/.test(key)) localStorage.removeItem(key)")
    say(page, "Enter")
    on_screen(page, 1)
    all_saved(page)
    assert len(inbox.said()) == 1


def test_a_refused_answer_is_said_and_dropped(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(4))
    page = sit()
    on_screen(page, 0)
    inbox.answer_elsewhere("ann")
    say(page, "1", "Enter")
    expect(page.locator("#problems")).to_contain_text("You have answered this question")
    all_saved(page)
    say(page, "1", "Enter")
    on_screen(page, 2)
    all_saved(page)
    assert len(inbox.said()) == 2, "what comes after it is sent"


def test_a_lost_lease_is_said_and_the_next_comes(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(4))
    page = sit()
    on_screen(page, 0)
    inbox.ahead_s = 3600
    inbox.store.lease("bob")
    page.reload()
    on_screen(page, 1)
    expect(page.locator("#problems")).to_contain_text("Your question went to somebody else")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator("#problems")).to_be_empty()


def test_heartbeats_are_sent_while_the_page_is_seen(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(4))
    page = sit(token="")
    page.clock.install()
    sign_in(page)
    on_screen(page, 0)
    inbox.calls.clear()
    page.clock.run_for(41_000)
    eventually(page, lambda: inbox.calls.count("POST /api/leases/heartbeat") == 2)


def test_work_that_comes_later_is_found(inbox: ServedInbox, sit: Sit) -> None:
    page = sit(token="")
    page.clock.install()
    sign_in(page)
    expect(page.locator("#empty")).to_be_visible()
    inbox.ask(questions(1))
    page.clock.run_for(5100)
    on_screen(page, 0)


def test_one_tab_works_at_a_time(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask(questions(4))
    first = sit()
    on_screen(first, 0)
    second = first.context.new_page()
    second.goto(first.url)
    on_screen(second, 0)
    expect(first.locator("#elsewhere")).to_be_visible()
    first.locator("#here").click()
    on_screen(first, 0)
    expect(second.locator("#elsewhere")).to_be_visible()
