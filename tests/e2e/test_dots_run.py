"""Real runs that choose prompts by predicted difficulty and replay, and a predictor that Ray Train fits."""

import json
from pathlib import Path
from typing import Any

import pytest
from runs import SMALL, START_S, Here, deterministic, groups, rows

from effrl.difficulty.saved import load
from effrl.models import TINY, fingerprint

DOTS = (
    *SMALL,
    "data.train=tasks:chain?size=256",
    "select.kind=dots",
    "select.reference=6",
    "select.warmup=1",
    "select.epochs=2",
    "rollout.prompts=8",
    "rollout.refill=0",
    "replay={fresh: 0.5, capacity: 8, warmup: 1}",
)


def without_evaluation(row: dict[str, Any]) -> dict[str, Any]:
    """The last step of each attempt is evaluated, so two attempts have one evaluation more."""
    return {name: value for name, value in deterministic(row).items() if not name.startswith("eval/")}


@pytest.mark.slow  # test_poison.py has a shorter one, with its resume
def test_a_run_that_predicts_and_its_resume(here: Here, tmp_path: Path) -> None:
    """Four steps in one go equal three and one; after a round of warm-up a network fitted in the run predicts."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert "256 prompts embedded in" in here("train", "quickstart", *DOTS, "run.steps=4", f"run.dir={whole}")
    found = rows(whole)
    assert [row.get("scout/prompts") for row in found] == [None, 0, None, 6, None]
    assert found[3]["scout/rollouts"] + found[3]["scout/reused"] == 6 * 4
    assert found[3]["scout/reused"] in range(0, 25, 4) and found[1]["scout/rollouts"] == 0
    assert [row["groups/rolled"] for row in found[1:]] == [8, 4, 4, 4]
    assert [row["groups/replay_uses"] for row in found[2:]] == [min(4, row["replay/stored"]) for row in found[1:4]]
    assert [row["select/fitted"] for row in found[1:]] == [0, 0, 1, 1]
    assert all(0 <= row["select/difficulty_expected"] <= 1 for row in found[3:])

    half = here("train", "quickstart", *DOTS, "run.steps=3", f"run.dir={cut}")
    assert "256 prompts found embedded" in half
    here("resume", cut, "run.steps=4")
    for one, other in zip(found[1:], rows(cut)[1:], strict=True):
        assert without_evaluation(one) == without_evaluation(other)
    for step in range(1, 5):
        assert [entry["prompt_id"] for entry in groups(cut, step)] == [
            entry["prompt_id"] for entry in groups(whole, step)
        ]


@pytest.mark.slow
def test_a_predictor_is_fitted_by_two_processes_and_used(effrl: Any, tmp_path: Path) -> None:
    """On groups by hand, whose pass rates follow the first digit; a run would take it from the first step on."""
    run, out = tmp_path / "run", tmp_path / "predictor.safetensors"
    write_run(run, steps=8)
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    sizes = ("--hidden", "8", "--layers", "1", "--epochs", "4", "--window", "2", "--workers", "2")
    fit = effrl("dots", "fit", str(run), "--out", str(out), *sizes, **cache)
    assert fit.end(START_S) == 0, fit.output()
    assert "4 snapshots of policies · 40 prompts embedded in" in fit.output()
    assert "Pearson" in fit.output() and "all are used" in fit.output()
    _, card = load(out, fingerprint(TINY), "mean", 128)
    assert card.policies == 3 and -1 <= card.metrics["pearson"] <= 1
    assert fit.orphans() == []


def write_run(path: Path, steps: int) -> None:
    """40 prompts of which each step has rolled out 20, 4 times each."""
    (path / "groups").mkdir(parents=True)
    (path / "config.yaml").write_text("{data: {train: 'tasks:chain'}}")
    for step in range(1, steps + 1):
        records = [group(step, number) for number in range(step % 2, 40, 2)]
        (path / "groups" / f"step_{step:06d}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))


def group(step: int, number: int) -> dict[str, Any]:
    rollouts = [{"outcome": float(try_ < number // 10 + 1)} for try_ in range(4)]
    prompt = {"prompt_id": f"chain/{number}", "prompt": f"{number:02d}+1=", "step": step}
    return {**prompt, "label_source": "gold", "rollouts": rollouts}
