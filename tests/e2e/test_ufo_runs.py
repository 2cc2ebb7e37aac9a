"""UFO-RL as a user runs it: the pool is scored once, three steps draw from its zone; and ``effrl score``, twice."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from runs import SMALL, Here, groups, rows

from effrl.config.load import source
from effrl.data.reader import read


def test_three_steps_draw_from_the_zone(here: Here, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = (*SMALL, "data.train=tasks:strings?size=60", "select.ratio=0.2", "run.steps=3", f"run.dir={run}")
    here("train", "ufo_rl_paper", *settings)
    _, first, *later = rows(run)
    assert first["scout/forwards"] == first["scout/prompts"] == 60
    assert first["scout/rollouts"] == first["scout/tokens"] == 0, "not a token is generated"
    assert not any("scout/forwards" in row for row in later), "the pool is scored once"
    with sqlite3.connect(run / "ledger.sqlite") as connection:
        [(bought,)] = connection.execute("select count(*) from purchases where state = 'committed'")
    assert bought == first["label/bought"] == 60 == later[-1]["label/bought_total"], "each label is charged once"
    records = [json.loads(line) for line in (run / "select" / "scores.jsonl").read_text().splitlines()]
    assert [record["prompt_id"] for record in records] == [
        row.prompt.id for row in read(source("tasks:strings?size=60"))
    ]
    zone = {record["prompt_id"] for record in records if record["selected"]}
    assert len(zone) == first["select/zone_size"] == 12
    rolled = {group["prompt_id"] for step in (1, 2, 3) for group in groups(run, step)}
    assert rolled == zone, "three steps of eight are two epochs of twelve"
    assert "certainty 0." in here("show", run, 2)


def test_a_data_set_is_scored_once(here: Here, tmp_path: Path) -> None:
    arguments = ("score", "tasks:strings?size=60", "--model", "tiny", "--prefix", "#", "--out", "s.jsonl")
    here(*arguments)
    found = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert len(found) == 60 and sum(row["selected"] for row in found) == 6
    assert all(0 <= row["certainty"] <= 1 and row["target_tokens"] > 0 for row in found)
    assert (tmp_path / "s.png").stat().st_size > 1000
    cache = (tmp_path / "s.jsonl.cache").read_bytes()

    assert "60 known" in here(*arguments, "--ratio", "0.5")
    assert (tmp_path / "s.jsonl.cache").read_bytes() == cache, "nothing is scored"
    halved = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert sum(row["selected"] for row in halved) == 30
    assert [row["certainty"] for row in halved] == pytest.approx([row["certainty"] for row in found], abs=0)


@pytest.mark.slow
def test_a_score_is_checked_against_rollouts(effrl: Any) -> None:
    """Engines of its own roll out a few prompts; on chain the work of a solution tells nearly everything."""
    source = "tasks:chain?size=200&labels=solutions"
    options = ("--model", "tiny", "--ratio", "0.2", "--check", "24", "--reward", "task", "--max-tokens", "48")
    told = effrl("score", source, *options)
    assert told.end(300) == 0, told.output()
    assert "full_solution (200 of 200 labels are worked solutions)" in told.output()
    assert "tells most" in told.output() and "Traceback" not in told.output()
    assert told.orphans() == []
