"""What a model wrote is shown as maths, code and text, whatever it wrote."""

import re
import time

from playwright.sync_api import expect

from deploy.serve.inbox.app import STATIC
from tests.browser.acts import on_screen, say, sign_in
from tests.browser.conftest import Sit
from tests.browser.served import ServedInbox, question

SCRIPTS = "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'><b>bold</b>"
BOMBS = (
    r"$\def\a{xxxxxxxxxx}\def\b{\a\a\a\a\a\a\a\a}\def\c{\b\b\b\b\b\b\b\b}\c\c\c\c\c\c\c\c$",
    r"$\def\a{\a\a}\a$",
    "$" + "{" * 990 + "x" + "}" * 990 + "$",
    "$" + "x+" * 5000 + "x$",
    r"$\href{javascript:window.ran=1}{x}$",
    r"$\includegraphics{https://example.com/x.png}$",
    r"$\htmlStyle{position:fixed}{x}$",
    r"$\nosuch{x}$",
)


def test_html_of_a_model_is_text(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask([question(0, f"{SCRIPTS}\n```html\n{SCRIPTS}\n```", {SCRIPTS: SCRIPTS})])
    page = sit()
    on_screen(page, 0)
    say(page, "1", "o")
    for place in ("#prompt", "#answers label > .text", ".solution", "#prompt pre"):
        expect(page.locator(place)).to_contain_text(SCRIPTS)
    assert page.locator("main script, main img, main b").count() == 0
    assert page.evaluate("window.ran") is None


def test_a_bomb_of_latex_is_text(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask([question(number, f"{bomb} and $y$.") for number, bomb in enumerate(BOMBS)])
    page = sit()
    for number, bomb in enumerate(BOMBS):
        on_screen(page, number)
        assert 1 <= page.locator("#prompt .katex").count() <= 2 and page.locator("#prompt *").count() < 4000, bomb[:40]
        assert page.locator("#prompt :is(a, img)").count() == 0
        say(page, "r")
        assert bomb in (page.locator("#prompt").text_content() or "")
        say(page, "r", "1", "Enter")
    assert page.evaluate("window.ran") is None


def test_delimiters_that_never_close_cost_no_time(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask([question(0, "".join(["\\[" * 50_000, "\\( " * 50_000, "$ " * 50_000, "`\n" * 50_000]))])
    page = sit(token="")
    start = time.monotonic()
    sign_in(page)
    on_screen(page, 0)
    assert time.monotonic() - start < 30, "looking for each one's end from each place takes minutes"


def test_many_formulas_cost_no_more_than_some(inbox: ServedInbox, sit: Sit) -> None:
    inbox.ask([question(0, "$x$ " * 20_000)])
    page = sit()
    on_screen(page, 0)
    assert 100 < page.locator("#prompt .katex").count() < 1000


def test_what_is_a_formula(inbox: ServedInbox, sit: Sit) -> None:
    cases = {
        "It costs $5, then $6.": 0,
        r"It costs \$5 and \$6.": 0,
        "$x$, $$y$$, \\(z\\) and\n\\[ w \\]": 4,
        "`$x$` and\n```\n$y$\n```": 0,
        "$x\n\ny$": 0,
        r"It is \boxed{\frac{1}{2}}, \boxed{\text{or two}} or \boxed{x": 2,
        r"It is \boxed{two apples}.": 0,
    }
    inbox.ask([question(number, text) for number, text in enumerate(cases)])
    page = sit()
    for number, (text, formulas) in enumerate(cases.items()):
        on_screen(page, number)
        assert page.locator("#prompt .katex").count() == formulas, text
        say(page, "1", "Enter")


def test_no_page_makes_html_of_text() -> None:
    makes = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|setHTML"
    )
    scripts = sorted(STATIC.glob("*.js"))
    assert len(scripts) > 5
    assert [script.name for script in scripts if makes.search(script.read_text())] == []
