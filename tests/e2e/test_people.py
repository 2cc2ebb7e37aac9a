"""A real run whose labels somebody gives in its inbox while it goes on."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runs import SMALL, Here, rows

from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger
from effrl.run.groups import tally
from effrl.tasks.source import problems
from effrl.types import Fate
from tests.bench.annotators import Person

LABEL = "label={buy: entropy, rest: drop, budget: {per_step: 0.5, total: 20}, oracle: {kind: human, weigh: true}}"


@contextmanager
def at_work(run: Path) -> Iterator[list[Person]]:
    """Somebody who answers whatever is asked, from when the run has asked until the end of the block."""
    labels = {problem.prompt: problem.answer for problem in problems("chain", "train", 64, 0, range(5), "abcdefgh")}
    gone = threading.Event()
    people: list[Person] = []

    def work() -> None:
        while not (run / "ledger.txt").exists() and not gone.wait(0.05):
            pass
        people.append(Person(Inbox(Ledger(run / "ledger.sqlite")), "ann", labels, errs=0.0))
        while not gone.is_set():
            if not people[0].work(think_s=0.0):
                gone.wait(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield people
    finally:
        gone.set()
        thread.join(60)


def test_groups_are_learned_from_when_their_labels_come(here: Here, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = (*SMALL, LABEL, "rollout.refill=0", "run.steps=6", f"run.dir={run}")
    with at_work(run) as people:
        here("train", "quickstart", *settings)
    told = rows(run)[1:]
    assert sum(row["groups/parked"] for row in told) == 20, "a half of eight groups in each step, as the budget lasts"
    assert people[0].answered >= sum(row["groups/joined"] for row in told) > 0
    assert all(row["label/budget_left"] >= 0 for row in told)
    rolled, fates = tally(run / "groups")
    assert rolled == sum(fates.values()) and fates[Fate.TRAINED] + fates[Fate.FILTERED] > 0
    with sqlite3.connect(run / "ledger.sqlite") as connection:
        states = dict(connection.execute("select state, count(*) from purchases group by state").fetchall())
        weights = {weight for (weight,) in connection.execute("select weight from purchases where state = 'committed'")}
    assert states.get("reserved", 0) == 0 and states["committed"] + states.get("refunded", 0) == 20
    assert len(weights) == 1 and 0 < weights.pop() < 1, "of somebody of whom little is known"
