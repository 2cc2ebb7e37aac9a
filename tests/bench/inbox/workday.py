"""Two people answer a real run's questions by keyboard, in Chromium, while everything goes wrong that can.

    python -m tests.bench.inbox.workday --answers 50 --offline 300

`care_human` trains on what they say. On the way one of them reloads the page, and is without a network for five
minutes; the server is killed and started again; the run is stopped with Ctrl-C and resumed. Afterwards what was
confirmed at the keyboard is looked up in the ledger.
"""

import argparse
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from effrl.config import load
from effrl.data.reader import read
from effrl.run import metrics
from effrl.run.groups import tally
from tests.bench.inbox.office import free_port

EFFRL = str(Path(sys.executable).with_name("effrl"))
CHROMIUM = shutil.which("chromium")


@dataclass
class Annotator:
    """Somebody who knows the answers, at a page."""

    page: Page
    name: str
    labels: dict[str, str]
    said: list[str] = field(default_factory=list)
    """Prompts that were confirmed, in order."""

    def answer(self) -> bool:
        """Answer the question on the screen, if there is one."""
        prompt = self.prompt()
        if prompt is None:
            return False
        label = self.labels[prompt]
        shown = self.page.locator("#answers .answer label > .text").all_inner_texts()
        if label in shown[:9]:
            self.page.keyboard.press(str(shown.index(label) + 1))
        else:
            self.page.keyboard.press("t")
            self.page.keyboard.type(label)
            self.page.keyboard.press("Escape")
        self.page.keyboard.press("Enter")
        self.said.append(prompt)
        return True

    def prompt(self) -> str | None:
        """The question that is on the screen and was not answered yet."""
        shown = self.page.locator("#prompt")
        text = shown.inner_text().strip() if shown.is_visible() else ""
        return text if text in self.labels and text not in self.said[-1:] else None


@dataclass
class Workday:
    """A run, its inbox, and two people."""

    run: Path
    port: int
    overrides: tuple[str, ...]
    seen: list[str] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [EFFRL, *arguments]
        self.processes.append(subprocess.Popen(command, stdout=self.log.open("ab"), stderr=subprocess.STDOUT))
        return self.processes[-1]

    def begin(self) -> None:
        self.run.parent.mkdir(parents=True, exist_ok=True)
        self.trainer = self.start("train", "care_human", f"run.dir={self.run}", *self.overrides)
        self.until((self.run / "ledger.txt").exists, 120, "the run to ask")
        self.serve()
        tokens = json.loads((self.run / "inbox-tokens.json").read_text())
        self.link = f"http://127.0.0.1:{self.port}/#token={tokens['annotator']}"

    def serve(self) -> None:
        self.server = self.start("labels", "serve", str(self.run), "--port", str(self.port))
        self.until((self.run / "inbox-tokens.json").exists, 60, "the inbox")
        time.sleep(5)

    def kill_server(self) -> None:
        self.server.kill()
        self.server.wait()
        self.seen.append("server killed")

    def stop_and_resume(self) -> None:
        self.trainer.send_signal(signal.SIGINT)
        self.trainer.wait(600)
        self.seen.append("run stopped")
        self.trainer = self.start("resume", str(self.run))
        self.seen.append("run resumed")

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
                process.wait(60)

    @property
    def log(self) -> Path:
        return self.run.with_suffix(".txt")

    def until(self, holds: Any, seconds: float, what: str) -> None:
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds:.0f} s for {what}")
            time.sleep(0.1)

    def books(self, people: list[Annotator]) -> dict[str, Any]:
        with sqlite3.connect(self.run / "ledger.sqlite") as connection:
            columns = "o.annotator, c.prompt, o.standing"
            query = f"select {columns} from inbox_opinions o join inbox_contents c on c.item = o.item"
            kept = connection.execute(query).fetchall()
            paid = connection.execute("select prompt_id from purchases where state = 'committed'").fetchall()
        said = Counter((person.name, prompt) for person in people for prompt in person.said)
        found = Counter((name, prompt) for name, prompt, standing in kept if standing != "void")
        rolled, fates = tally(self.run / "groups")
        rows = metrics.read(self.run / "metrics.jsonl")
        return {
            "confirmed": sum(said.values()),
            "lost": sum((said - found).values()),
            "doubled": sum((found - said).values()),
            "both_answered": sum(count > 1 for count in Counter(prompt for _, prompt in found).values()),
            "charged_twice": len(paid) - len(set(paid)),
            "labels": len(paid),
            "late": sum(standing == "late" for *_, standing in kept),
            "rolled": rolled,
            "fates": {str(fate): count for fate, count in fates.items()},
            "fates_add_up": rolled == sum(fates.values()),
            "accuracy": {row["step"]: row["eval/accuracy"] for row in rows if "eval/accuracy" in row},
        }


def work(day: Workday, answers: int, offline_s: float) -> list[Annotator]:
    data = load.load(str(day.run / "config.yaml"), []).data
    labels = {row.prompt.text: row.label or "" for row in read(data.train, data.form)}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        people = []
        for name in ("ann", "bob"):
            page = browser.new_context().new_page()
            page.goto(f"{day.link}&name={name}")
            people.append(Annotator(page, name, labels))
        ann = people[0]
        events = {10: "reload", 20: "offline", 30: "server", 40: "stop"}
        back_at = float("inf")
        while min(len(person.said) for person in people) < answers and day.trainer.poll() is None:
            for person in people:
                if len(person.said) < answers:
                    person.answer()
                person.page.wait_for_timeout(150)
            due = events.pop(len(ann.said), None) if len(ann.said) in events else None
            if due == "reload":
                ann.page.reload()
            elif due == "offline":
                ann.page.context.set_offline(True)
                back_at = time.monotonic() + offline_s
            elif due == "server":
                day.kill_server()
                day.serve()
            elif due == "stop":
                day.stop_and_resume()
            day.seen += [due] if due else []
            if time.monotonic() > back_at:
                ann.page.context.set_offline(False)
                back_at = float("inf")
                day.seen.append("online")
        for person in people:
            saved = "document.querySelector('#saved').innerText.includes('saved')"
            person.page.wait_for_function(saved, timeout=60_000)
        browser.close()
    return people


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=50)
    parser.add_argument("--offline", type=float, default=300.0)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--run", type=Path, default=Path("runs/workday"))
    parser.add_argument("--out", type=Path)
    wish = parser.parse_args()
    overrides = (f"run.steps={wish.steps}", "eval.every=4", "run.save_every=4", "label.wait_s=180")
    day = Workday(wish.run, free_port(), overrides)
    began = time.monotonic()
    try:
        day.begin()
        people = work(day, wish.answers, wish.offline)
        day.trainer.send_signal(signal.SIGINT)
        day.trainer.wait(900)
    finally:
        day.end()
    found = {"events": day.seen, "seconds": round(time.monotonic() - began), **day.books(people)}
    print(json.dumps(found, indent=1))
    if wish.out is not None:
        wish.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
