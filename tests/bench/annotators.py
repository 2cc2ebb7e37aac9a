"""Scripted people: they answer a run's questions from the labels of its data, as fast and as well as they are told.

    python -m tests.bench.annotators runs/care_human --people 2 --think 0.5 --errs 0.15

They work on the run's ledger file, as people in a terminal do, until nothing was asked for a while.
"""

import argparse
import random
import time
import uuid
from pathlib import Path

from deploy.commands.inbox import ledger_of
from effrl.config import load
from effrl.data.reader import read
from effrl.label.oracle.inbox.messages import Given, InboxItem
from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger


class Person:
    """Knows the right answers, and errs now and then: then another answer of the model is chosen."""

    def __init__(self, inbox: Inbox, name: str, labels: dict[str, str], errs: float) -> None:
        self.inbox, self.name, self.labels, self.errs = inbox, name, labels, errs
        self.random = random.Random(name)
        self.answered = 0

    def work(self, think_s: float) -> bool:
        """Answer one question; False where there is none."""
        items = self.inbox.lease(self.name)
        for item in items:
            time.sleep(think_s)
            given = self._given(item, int(1000 * think_s))
            self.inbox.answer(self.name, item.lease, str(uuid.uuid4()), given, lambda answer, others: None)
            self.answered += 1
        return bool(items)

    def _given(self, item: InboxItem, think_ms: int) -> Given:
        label = self.labels[item.prompt]
        right = next((shown.choice for shown in item.answers if shown.text == label), None)
        wrong = [shown.choice for shown in item.answers if shown.choice != right]
        if wrong and self.random.random() < self.errs:
            return Given(choice=self.random.choice(wrong), think_ms=think_ms)
        return Given(choice=right, think_ms=think_ms) if right is not None else Given(typed=label, think_ms=think_ms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--people", type=int, default=1)
    parser.add_argument("--think", type=float, default=0.0, help="seconds for each answer")
    parser.add_argument("--errs", type=float, default=0.0)
    parser.add_argument("--idle", type=float, default=60.0, help="seconds without a question after which they go")
    wish = parser.parse_args()
    while not (wish.run / "config.yaml").exists():
        time.sleep(0.2)
    data = load.load(str(wish.run / "config.yaml"), []).data
    labels = {row.prompt.text: row.label or "" for row in read(data.train, data.form)}
    inbox = Inbox(Ledger(ledger_of(wish.run)))
    people = [Person(inbox, f"person-{n}", labels, wish.errs) for n in range(wish.people)]
    last = time.monotonic()
    while time.monotonic() - last < wish.idle:
        if any([person.work(wish.think) for person in people]):
            last = time.monotonic()
        else:
            time.sleep(0.05)
    print({person.name: person.answered for person in people})


if __name__ == "__main__":
    main()
