"""The report's block of process rewards in a browser."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from effrl.report.page import write_report
from tests.browser.acts import accessible
from tests.unit.fake_run import group, rewarded, write_lines, write_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REWARDS = (0.1, 0.05, 0.02, 0.0, -0.02, -0.05, -0.1)
SOLUTIONS = [rewarded(outcome, *[(f" word{at}", value) for at, value in enumerate(REWARDS)]) for outcome in (1.0, 0.0)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1150, 360])
def test_tokens_are_legible_and_reachable(tmp_path: Path, browser: "Browser", scheme: str, width: int) -> None:
    run = write_run(tmp_path / "demo", 2)
    (run / "config.yaml").write_text("process: {kind: my_module:MyRewards}\n")
    write_lines(run / "groups" / "step_000002.jsonl", [group(2, 0, rollouts=SOLUTIONS)])
    write_report([run], tmp_path / "report.html")
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(f"file://{tmp_path}/report.html")
    page.locator(".solution summary").first.click()
    accessible(page)
    backgrounds = (
        page.locator(".tokens")
        .first.locator("span")
        .evaluate_all("all => all.map(one => getComputedStyle(one).backgroundColor)")
    )
    assert len(set(backgrounds)) == 7, "each shade is another colour"
    page.locator(".tokens").first.focus()
    assert page.evaluate("document.activeElement.classList.contains('tokens')"), "a keyboard can scroll it"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off at the side"
    page.close()
