"""A run that was killed and resumed equals one that was not; labels are never bought twice, and no process is left."""

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

from runs import SMALL, START_S, STEP_S, Here, assert_same, rows

from effrl.run.groups import tally
from effrl.types import Fate

SETTINGS = (
    *SMALL,
    "run.steps=6",
    "learn.updates=2",
    "learn.warmup=2",
    "learn.schedule=cosine",
    "loss.kl=0.01",
    "advantage.kind=reinforce_pp",
    "reward.terms.overlong.buffer=20",
    "select={kind: calibrated, reference: 8}",
)
"""With what a resume could get wrong: the place in the schedule, the reference model, updates after the first, and a
selector that is fitted anew in each step."""


def bought(run: Path, step: int) -> int:
    """Labels in the ledger that a step paid for; 0 while there is no ledger yet."""
    path = run / "ledger.sqlite"
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return int(connection.execute("select count(*) from purchases where step = ?", (step,)).fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # the table is being made


def test_killed_and_resumed_equals_uninterrupted(effrl: Any, here: Here, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    here("train", "quickstart", *SETTINGS, f"run.dir={whole}")

    run = tmp_path / "cut"
    first = effrl("train", "quickstart", *SETTINGS, f"run.dir={run}")
    first.until(lambda: bought(run, 4) > 0, START_S + 4 * STEP_S, "a label bought in step 4")
    assert first.named_memory() == set(), "nobody would remove it, and another run could meet it"
    first.kill()
    assert not (run / "groups" / "step_000004.jsonl").exists(), "killed in the middle of step 4"
    assert first.orphans() == [], "SIGKILL of the driver leaves nothing behind"
    before = tally(run / "groups")[0]

    assert "resuming after step 3" in here("resume", run)

    expected, actual = rows(whole), rows(run)
    assert_same(expected, actual, whole, run)
    rolled, fates = tally(run / "groups")
    assert rolled == sum(fates.values()), "every group has one fate, across the resume too"
    first_half, second_half = (sum(row["groups/rolled"] for row in half) for half in (actual[1:4], actual[4:]))
    assert rolled - before == second_half, "only the missing steps were rolled out again"
    assert fates[Fate.ROLLED_BACK] == before - first_half
    with sqlite3.connect(run / "ledger.sqlite") as connection:
        lines = connection.execute("select query_id, prompt_id, state from purchases").fetchall()
    assert max(Counter(line[0] for line in lines).values()) == 1
    assert max(Counter(line[1] for line in lines).values()) == 1
    assert {line[2] for line in lines} == {"committed"}
