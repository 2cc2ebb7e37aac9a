"""The pictures of the inbox's pages in docs/inbox: ``python -m tests.browser.pictures``."""

import io
import shutil
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from effrl.label.oracle.inbox.messages import Given
from effrl.questions import Question
from effrl.types import Prompt
from tests.browser.acts import all_saved, say
from tests.browser.served import ServedInbox, served

OUT = Path("docs/inbox")
COLOURS = 128
MARBLES = (
    "A bag holds $3$ red and $5$ blue marbles. Two are drawn without replacement. What is the probability that both are"
    " red, where\n$$P(A \\cap B) = P(A)\\,P(B \\mid A)?$$"
)
SOLUTIONS = {
    "\\frac{3}{28}": "The first one is red with probability $\\frac38$, the second one then with $\\frac27$:\n"
    "\\[\\frac38 \\cdot \\frac27 = \\frac{6}{56} = \\frac{3}{28}.\\]\nSo the answer is \\boxed{\\frac{3}{28}}.",
    "\\frac{9}{64}": "Each of them is red with probability $\\frac38$, so it is $\\left(\\frac38\\right)^2$.",
    "\\frac{3}{8}": "There are $3$ red ones among $8$, so \\boxed{\\frac38}.",
}
PROGRAM = "What does it print?\n```python\nxs = [1, 2, 3]\nprint(sum(x * x for x in xs if x > 1))\n```"


def asked() -> list[Question]:
    texts = {MARBLES: SOLUTIONS, PROGRAM: {"13": "$2^2 + 3^2 = 13$", "14": "$1 + 4 + 9 = 14$"}}
    squares = {f"Which number is $\\sqrt{{{n * n}}}$?": {str(n): "", str(n * n): ""} for n in range(3, 9)}
    return [
        Question(Prompt(f"task/{number}", text), tuple(answers), tuple(answers.values()))
        for number, (text, answers) in enumerate((texts | squares).items())
    ]


def save(page: Page, name: str, whole: bool = False) -> None:
    """As small as it gets without a difference that one sees."""
    page.wait_for_timeout(200)  # fonts, and colours that change slowly
    shot = Image.open(io.BytesIO(page.screenshot(full_page=whole)))
    shot.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(OUT / f"{name}.png", optimize=True)


def right(page: Page) -> None:
    """Choose the first answer that the model gave, wherever it stands."""
    page.locator("#answers input[value='0']").check()


def annotator(page: Page) -> None:
    """One state after the other."""
    save(page, "question")
    page.locator("#guidelines summary").click()
    right(page)
    say(page, "o")
    save(page, "solution", whole=True)
    say(page, "t")
    page.keyboard.type("\\frac{3}{28}")
    expect(page.locator("#understood")).to_contain_text("Same as answer")
    save(page, "typed")
    say(page, "Escape", "s")
    save(page, "skip")
    say(page, "Escape", "r")
    right(page)
    page.evaluate("scrollTo(0, 0)")
    save(page, "raw")
    say(page, "r", "?")
    save(page, "help")
    say(page, "Escape", "Enter")
    all_saved(page)
    say(page, "u")
    save(page, "undone")
    say(page, "Enter")
    all_saved(page)
    page.context.set_offline(True)
    say(page, "1", "Enter", "2", "Enter")
    expect(page.locator("#saved")).to_contain_text("2 unsent")
    save(page, "offline")
    page.context.set_offline(False)
    all_saved(page)


def others(inbox: ServedInbox, browser: Browser, url: str) -> None:
    """A phone at night, and the owner's page."""
    size = {"width": 360, "height": 740}
    phone = browser.new_page(viewport=size, color_scheme="dark", has_touch=True, is_mobile=True)
    phone.goto(f"{url}#token=tok-annotator&name=bob")
    phone.locator("#answers label").first.click()
    save(phone, "phone")
    for _ in range(3):
        [item] = inbox.store.lease("bob", 1)
        inbox.store.answer("bob", item.lease, f"bob-{item.item}", Given(choice=0, think_ms=9000), lambda *_: None)
    owner = browser.new_page(viewport={"width": 1000, "height": 700})
    owner.goto(f"{url}/owner#token=tok-owner")
    expect(owner.locator("#items tbody tr")).to_have_count(8)
    save(owner, "owner", whole=True)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        inbox = ServedInbox(Path(folder))
        with served(inbox) as url:
            page = browser.new_page(viewport={"width": 1000, "height": 700})
            page.goto(url)
            save(page, "signin")
            page.goto("about:blank")
            page.goto(f"{url}#token=tok-annotator&name=ann")
            expect(page.locator("#idle")).to_have_text("Nothing to do")
            save(page, "empty")
            inbox.ask(asked())
            inbox.store.wait_until(time.time() + 300)
            page.reload()
            expect(page.locator("#card")).to_be_visible()
            annotator(page)
            others(inbox, browser, url)
        browser.close()
    sys.stdout.writelines(f"{path}  {path.stat().st_size // 1000} kB\n" for path in sorted(OUT.glob("*.png")))


if __name__ == "__main__":
    main()
