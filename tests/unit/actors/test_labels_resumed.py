"""Each labeller: killed after its purchases and resumed, a run buys the same labels and learns the same.

And what was not bought is nowhere: with every other label poisoned, nothing changes (docs/design.md, invariants 2 and
8; property 10 of CARE).
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors import role
from actors.data import service
from actors.driver.scout import Scout
from effrl.config.schema import Config
from effrl.label.oracle.ledger import Ledger
from effrl.replay.rescore import rescored
from effrl.run import metrics
from effrl.run.directory import RunDirectory
from effrl.run.groups import tally
from effrl.run.resume import StartPoint, resume_point
from tests.unit.actors.driven import Death, Killed, attempt, comparable

STEPS, POOL = 7, 24
DEATHS = Death(2), Death(4), Death(5, updated=True), Death(6), Death(6), Death(7, updated=True)
LABELLERS: dict[str, dict[str, Any]] = {
    "gold": {"kind": "gold"},
    "gold, budget spent": {"kind": "gold", "budget": {"total": 9}},
    "vote": {"kind": "vote"},
    "random, rest voted": {"kind": "random", "rest": "vote", "budget": {"per_step": 0.4}},
    "random, rest dropped": {"kind": "random", "rest": "drop", "budget": {"per_step": 0.4}},
    "random, budget spent": {"kind": "random", "rest": "vote", "budget": {"per_step": 0.4, "total": 7}},
    "care": {"kind": "care", "budget": {"per_step": 0.35}, "rest": {"kind": "gate", "warmup": 2}},
    "care, per visit": {"kind": "care", "charge": "per_visit", "budget": {"per_step": 0.35, "total": 12}},
    "fixed, TraPO's filter": {"buy": {"kind": "fixed", "share": 0.4}, "rest": "trapo", "budget": {"per_step": 1.0}},
    "empo": {"kind": "empo"},
    "restrain": {"kind": "restrain"},
    "plug-in": {"kind": "tests.plugins.label_plugins:BelowMean", "budget": {"total": 12}},
}
LABEL_FREE = {"vote", "empo", "restrain"}
FORGETFUL = LABEL_FREE | {"gold", "random"}
Row = dict[str, Any]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output


def write_data(path: Path, labels: Callable[[int], str | None]) -> Path:
    rows = [{"id": f"p{n}", "prompt": f"{n}", "label": labels(n)} for n in range(POOL)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def label_of(number: int) -> str | None:
    """Engines answer 1 or 2; two prompts have no label."""
    return None if number in (5, 11) else str(1 + number % 2)


def config(data: Path, label: Row, save_every: int = 2) -> Config:
    """A selector that looks at pass rates before each step, and replay, whose groups are scored anew with labels."""
    return Config.model_validate(
        {
            "data": {"train": str(data)},
            "select": {"kind": "tests.plugins.selectors:AskingEachStep"},
            "label": label,
            "reward": {"kind": "exact"},
            "advantage": {"std": "none"},
            "rollout": {"prompts": 8, "per_prompt": 5, "max_tokens": 4, "refill": 0},
            "replay": {"capacity": 12, "warmup": 1},
            "run": {"steps": STEPS, "save_every": save_every, "keep": 9, "sinks": []},
        }
    )


def ledger_lines(run: RunDirectory) -> list[tuple[Any, ...]]:
    """Everything but the times of those that were refunded and asked again."""
    with sqlite3.connect(run.ledger) as connection:
        return connection.execute("select * from purchases order by query_id").fetchall()


def groups(run: RunDirectory) -> list[Row]:
    """What became of each group of the steps that stand; its id tells the attempt, and may differ."""
    lines = [line for path in sorted(run.groups.glob("step_*.jsonl")) for line in path.read_text().splitlines()]
    return [{key: value for key, value in json.loads(line).items() if key != "id"} for line in lines]


def learned(run: RunDirectory) -> dict[str, bytes]:
    """What the labeller had learned at the end: of CARE both probes with their optimizers, and their records."""
    folder = run.checkpoints / f"step_{STEPS}" / "labeller"
    return {path.name: path.read_bytes() for path in folder.glob("*")}


async def killed_and_resumed(run: RunDirectory, config: Config, deaths: Sequence[Death], base: Path) -> str:
    """Attempts that die; then one that does not."""
    start = StartPoint(base)
    for death in deaths:
        with pytest.raises(Killed):
            await attempt(config, run, start, death)
        start = resume_point(run, config, base)
    return await attempt(config, run, start)


@pytest.mark.parametrize("label", LABELLERS.values(), ids=LABELLERS)
async def test_killed_after_its_purchases_it_buys_and_learns_the_same(label: Row, tmp_path: Path) -> None:
    settings = config(write_data(tmp_path / "rows.jsonl", label_of), label)
    whole, cut = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "cut")
    weights = await attempt(settings, whole, StartPoint(tmp_path))
    assert await killed_and_resumed(cut, settings, DEATHS, tmp_path) == weights
    assert comparable(metrics.read(cut.metrics)) == comparable(metrics.read(whole.metrics))
    assert groups(cut) == groups(whole)
    assert learned(cut) == learned(whole)
    assert bool(learned(whole)) is (label.get("kind") not in FORGETFUL)
    columns = slice(0, 8)  # all but the times
    assert [line[columns] for line in ledger_lines(cut)] == [line[columns] for line in ledger_lines(whole)]
    rolled, fates = tally(cut.groups)
    assert rolled == sum(fates.values())


def unwatched(rows: Sequence[Row]) -> list[Row]:
    """Without what the monitor told: it alone looks at labels that nobody bought."""
    return [{k: v for k, v in row.items() if not k.startswith(("monitor/", "label/vote_accuracy"))} for row in rows]


def own_what_comes_later(monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    """Have somebody see labels that the step, or one after it, bought before the run was killed."""
    if who == "replay":
        monkeypatch.setattr(service, "rescored", lambda step, *rest: rescored(replace(step, number=99), *rest))
    elif who == "look ahead":
        rates = Scout.pass_rates
        monkeypatch.setattr(Scout, "pass_rates", lambda scout, step, *r: rates(scout, replace(step, number=99), *r))
    else:
        owned = Ledger.owned
        monkeypatch.setattr(Ledger, "owned", lambda ledger, names, step: owned(ledger, names))


@pytest.mark.parametrize("who", ["replay", "look ahead", "everybody"])
@pytest.mark.parametrize("rest", ["voted", "dropped"])
async def test_whoever_sees_labels_of_a_step_that_was_lost_is_found_out(
    rest: str, who: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above is worth. (Where the rest is dropped, replay has nothing but true labels.)"""
    if (rest, who) == ("dropped", "replay"):
        return
    own_what_comes_later(monkeypatch, who)
    settings = config(write_data(tmp_path / "rows.jsonl", label_of), LABELLERS[f"random, rest {rest}"], STEPS)
    whole, cut = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "cut")
    weights = await attempt(settings, whole, StartPoint(tmp_path))
    assert await killed_and_resumed(cut, settings, [Death(STEPS)], tmp_path) != weights


@pytest.mark.parametrize("label", LABELLERS.values(), ids=LABELLERS)
async def test_labels_that_were_not_bought_can_be_poisoned(label: Row, tmp_path: Path) -> None:
    data = write_data(tmp_path / "rows.jsonl", label_of)
    clean, poisoned = RunDirectory(tmp_path / "clean"), RunDirectory(tmp_path / "poisoned")
    weights = await attempt(config(data, label), clean, StartPoint(tmp_path))
    lines = ledger_lines(clean)
    bought = {line[1] for line in lines if line[4] == "committed"}
    assert bool(bought) is (label.get("kind") not in LABEL_FREE) and len(bought) < POOL

    def poison(number: int) -> str | None:
        return label_of(number) if f"p{number}" in bought or label_of(number) is None else "1" if number % 2 else "2"

    write_data(data, poison)
    assert await attempt(config(data, label), poisoned, StartPoint(tmp_path)) == weights
    found, expected = comparable(metrics.read(poisoned.metrics)), comparable(metrics.read(clean.metrics))
    assert unwatched(found) == unwatched(expected)
    assert (found == expected) is (label == {"kind": "gold"}), "the monitor sees poison, unless all was bought"
    assert groups(poisoned) == groups(clean)
    assert learned(poisoned) == learned(clean)
    assert [line[:8] for line in ledger_lines(poisoned)] == [line[:8] for line in lines]
