"""A run that loses its machine, directory and ledger included, goes on from its storage as if nothing had been lost."""

import json
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from actors import role
from effrl.config.schema import Config
from effrl.run import metrics
from effrl.run.directory import RunDirectory
from effrl.run.groups import tally
from effrl.run.mirror import newest
from effrl.run.resume import StartPoint, resume_point
from effrl.run.storage import Storage
from effrl.run.stored import begin_uploads, bring
from tests.unit.actors.driven import Death, Killed, Notice, attempt, comparable

STEPS, POOL = 7, 24
DEATHS = Death(4), Death(5, updated=True), Death(6)
LABELLERS: dict[str, dict[str, Any]] = {
    "gold, budget spent": {"kind": "gold", "budget": {"total": 9}},
    "random, rest voted": {"kind": "random", "rest": "vote", "budget": {"per_step": 0.4}},
    "care, per visit": {"kind": "care", "charge": "per_visit", "budget": {"per_step": 0.35, "total": 12}},
}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output


def config(tmp_path: Path, label: dict[str, Any], **run: Any) -> Config:
    rows = [{"id": f"p{n}", "prompt": f"{n}", "label": str(1 + n % 2)} for n in range(POOL)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Config.model_validate(
        {
            "data": {"train": str(data)},
            "select": {"kind": "tests.plugins.selectors:AskingEachStep"},
            "label": label,
            "reward": {"kind": "exact"},
            "advantage": {"std": "none"},
            "rollout": {"prompts": 8, "per_prompt": 5, "max_tokens": 4, "refill": 0},
            "replay": {"capacity": 12, "warmup": 1},
            "run": {"steps": STEPS, "save_every": 2, "keep": 1, "sinks": [], **run},
        }
    )


def bought(run: RunDirectory) -> list[Any]:
    with closing(sqlite3.connect(run.ledger)) as ledger:
        query = "select query_id, prompt_id, source, step, state, cost, answer from purchases order by query_id"
        return ledger.execute(query).fetchall()


def groups(run: RunDirectory) -> list[Any]:
    """What became of each group; its id tells the attempt, and may differ."""
    lines = [line for path in sorted(run.groups.glob("step_*.jsonl")) for line in path.read_text().splitlines()]
    return [{**json.loads(line), "id": ""} for line in lines]


def rows(run: RunDirectory) -> list[dict[str, Any]]:
    read = comparable(metrics.read(run.metrics))
    return [{name: value for name, value in row.items() if not name.startswith("storage/")} for row in read]


async def on_machine(
    path: Path, settings: Config, base: Path, dies_at: Death | None, notice: Notice | None = None
) -> str:
    """What the command does on a machine: fetch, go on, store; and what a driver that dies leaves behind is lost."""
    run = RunDirectory(path)
    bring(run, settings, print)
    start = resume_point(run, settings, base) if run.config.exists() else StartPoint(base)
    run.path.mkdir(parents=True, exist_ok=True)
    run.write_config("run: {}\n")
    uploads = begin_uploads(settings, run, print)
    try:
        weights = await attempt(settings, run, start, dies_at, notice=notice, uploads=uploads)
    except Killed:
        uploads.abandon()
        shutil.rmtree(path)
        raise
    uploads.close()
    return weights


async def lost(deaths: Sequence[Death], tmp_path: Path, settings: Config, base: Path) -> tuple[str, RunDirectory]:
    """The run, on a new machine after each death."""
    for number, death in enumerate(deaths):
        with pytest.raises(Killed):
            await on_machine(tmp_path / f"machine-{number}" / "run", settings, base, death)
    last = tmp_path / "last" / "run"
    return await on_machine(last, settings, base, None), RunDirectory(last)


@pytest.mark.parametrize("label", LABELLERS.values(), ids=LABELLERS)
async def test_lost_with_each_machine_it_is_the_same_run(label: dict[str, Any], tmp_path: Path) -> None:
    whole, base = RunDirectory(tmp_path / "whole"), tmp_path / "base"
    unbroken = await attempt(config(tmp_path, label), whole, StartPoint(base))

    url = f"file://{tmp_path}/bucket/run"
    weights, run = await lost(DEATHS, tmp_path, config(tmp_path, label, storage=url), base)
    assert weights == unbroken
    assert rows(run) == rows(whole) and groups(run) == groups(whole)
    assert bought(run) == bought(whole), "what the lost steps had bought is bought again, the same"
    rolled, fates = tally(run.groups)
    assert rolled == sum(fates.values()), "every group that is known of has one fate"
    found = newest(Storage(url))
    assert found is not None and found.step == STEPS and found.attempt.number == len(DEATHS) + 1


async def test_a_notice_stores_the_last_commit(tmp_path: Path) -> None:
    """SIGTERM in step 4, the last checkpoint being of step 2: what was committed is stored before the process ends."""
    url, base = f"file://{tmp_path}/bucket/run", tmp_path / "base"
    settings = config(tmp_path, LABELLERS["random, rest voted"], storage=url)
    await on_machine(tmp_path / "first" / "run", settings, base, None, Notice(4))
    found = newest(Storage(url))
    assert found is not None and found.step == 3
    shutil.rmtree(tmp_path / "first")
    whole = RunDirectory(tmp_path / "whole")
    unbroken = await attempt(config(tmp_path, LABELLERS["random, rest voted"]), whole, StartPoint(base))
    assert await on_machine(tmp_path / "second" / "run", settings, base, None) == unbroken
    assert rows(RunDirectory(tmp_path / "second" / "run")) == rows(whole)
