"""A run through stages, in which the model labels its prompts in two rounds: killed, it ends as if it had not been, and
asks only for what it does not know."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from runs import SMALL, Here, copy_once, deterministic, groups, purchases, rows

from actors.driver.asking import PolicyAsks
from effrl.label.easyrl import pool_work
from effrl.label.easyrl.items import PoolLook
from effrl.label.easyrl.looks import LookFile
from effrl.types import Group, Prompt

STEPS, EASY, POOL, SAMPLES, CHUNK = 6, 10, 38, 2, 8
FIRST, SECOND = "self-training.1", "self-training.2"
SETTINGS = (
    *SMALL,
    f"data.train=tasks:chain?size={EASY + POOL}",
    "rollout.refill=0",
    "run.sinks=[]",
    "eval.prompts=2",
    "learn.schedule=cosine",
    "label={buy: entropy, rest: drop, budget: {per_step: 0.5, total: 40}}",
    "easy={share: 0.2, by: random}",
    "stages=[{name: warm-up, epochs: 1, pool: easy, set: {label.kind: gold}},"
    " {name: self-training, steps: 2, rounds: 2, reset_optimizer: true,"
    f"  pool: {{kind: pseudo, samples: {SAMPLES}, anchor: 4, deferred: buy, reflection: {{template: tiny}}}}}}]",
)


def copy_while_asking(monkeypatch: pytest.MonkeyPatch, run: Path, copy: Path) -> None:
    """Copy a run as a kill in its second round's asking leaves it; of other moments see test_stages_resumed.py."""
    append = LookFile.append

    def append_and_copy(file: LookFile, looks: Sequence[PoolLook]) -> None:
        append(file, looks)
        if file.path.name.startswith(SECOND) and len(file.read()) >= CHUNK:
            copy_once(run, copy)

    monkeypatch.setattr(LookFile, "append", append_and_copy)


Ask = tuple[int, str, int]
"""Before which step, about which prompt, and for how many rollouts: ``SAMPLES`` answers or one reflection."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Ask]:
    """What the policy is asked before a stage, in batches of a few."""
    found: list[Ask] = []
    sample = PolicyAsks.sample

    async def noted(
        asks: PolicyAsks, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], max_tokens: int | None
    ) -> list[Group]:
        found.extend((asks.step, prompt.id, len(own)) for prompt, own in zip(prompts, seeds, strict=True))
        return await sample(asks, prompts, seeds, max_tokens)

    monkeypatch.setattr(PolicyAsks, "sample", noted)
    monkeypatch.setattr(pool_work, "CHUNK", CHUNK)
    return found


def decisions(run: Path) -> dict[str, bytes]:
    """What its stages decided; the lines of ``looks`` may be in another order."""
    return {path.name: path.read_bytes() for path in (run / "stages").iterdir() if "looks" not in path.name}


def looks(run: Path, name: str) -> dict[str, str]:
    lines = (run / "stages" / f"{name}.looks.jsonl").read_text().splitlines()
    return {json.loads(line)["prompt"]: line for line in lines}


def assert_that_it_ended_the_same(run: Path, whole: Path) -> None:
    assert decisions(run) == decisions(whole)
    assert [looks(run, name) for name in (FIRST, SECOND)] == [looks(whole, name) for name in (FIRST, SECOND)]
    assert [deterministic(row) for row in rows(run)] == [deterministic(row) for row in rows(whole)]
    assert purchases(run) == purchases(whole)
    keys = ("prompt_id", "fate", "label_source", "answer")
    for step in range(1, STEPS + 1):
        ours, theirs = ([[group[key] for key in keys] for group in groups(path, step)] for path in (run, whole))
        assert ours == theirs
    model = f"checkpoints/step_{STEPS}/hf/model.safetensors"
    assert (run / model).read_bytes() == (whole / model).read_bytes()


def test_killed_while_it_asks_it_ends_the_same(
    here: Here, asked: list[Ask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a line."""
    whole, run = tmp_path / "whole", tmp_path / "cut"
    copy_while_asking(monkeypatch, whole, run)
    here("train", "quickstart", *SETTINGS, f"run.dir={whole}")
    assert_that_the_stages_are_as_asked_for(whole)
    second = Counter(ask for ask in asked if ask[0] == 5)

    torn = run / "stages" / f"{SECOND}.looks.jsonl"
    torn.write_bytes(torn.read_bytes()[:-20])
    kept = torn.read_text().splitlines()[:-1]
    known = Counter((5, json.loads(line)["prompt"], SAMPLES) for line in kept)
    assert len(kept) == CHUNK - 1
    asked.clear()
    assert "resuming after step" in here("resume", run)
    assert Counter(asked) == second - known, "only the rest is asked"
    assert_that_it_ended_the_same(run, whole)


def assert_that_the_stages_are_as_asked_for(run: Path) -> None:
    found = rows(run)[1:]
    assert [row["stage/number"] for row in found] == [1, 1, 2, 2, 3, 3]
    assert [row.get("prepare/pool") for row in found if "prepare/pool" in row] == [POOL, found[4]["prepare/pool"]]
    assert found[4]["prepare/pool"] == POOL - found[2]["prepare/selected"] < POOL
    assert all("eval/accuracy" in found[last] for last in (1, 3, 5)), "an evaluation stands at the end of each"
    sources = [{group["label_source"] for group in groups(run, step)} for step in range(1, STEPS + 1)]
    assert sources[0] == sources[1] == {"gold"}
    assert {"gold", "consistent"} <= set.union(*sources[2:]) and "bought" in set.union(*sources[2:])
    labelled = {json.loads(line)["prompt"] for name in (FIRST, SECOND) for line in looks(run, name).values()}
    assert len(labelled) == POOL + 4, "the anchor is asked too"
    assert sum(row.get("prepare/unanswered", 0) for row in found) < CHUNK, "they know how they are asked"
