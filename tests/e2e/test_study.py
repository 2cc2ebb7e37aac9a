"""A study on real actors: the same seed is the same cell, whichever engines it runs on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from runs import SMALL

ROOT = Path(__file__).parents[2]
STUDY = """\
name: twice
purpose: The same arm twice, with another in between.
recipe: quickstart
overrides: {overrides}
families: {{chain: []}}
arms: {{first: [], other: [learn.lr=1.0e-3, label.kind=vote], again: []}}
seeds: [1]
baseline: first
"""


def cell(results: Path, arm: str) -> dict[str, Any]:
    """What a cell keeps, less its name and times."""
    found: dict[str, Any] = json.loads((results / "twice" / "cells" / f"chain--{arm}--1.json").read_text())
    del found["arm"], found["wall_s"]
    for point in found["curve"]:
        del point["costs"]["wall_s"]
    return found


@pytest.mark.slow
def test_the_same_arm_twice_is_the_same_cell(tmp_path: Path) -> None:
    settings = [*SMALL, "reward.kind=task", "rollout.refill=0", "run.steps=3", "eval.every=1", "eval.prompts=8"]
    (tmp_path / "twice.yaml").write_text(STUDY.format(overrides=json.dumps(settings)))
    command = [sys.executable, "-m", "tests.bench.study", "run", str(tmp_path / "twice.yaml")]
    done = subprocess.run(
        [*command, "--results", str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=850, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, other, again = (cell(tmp_path, arm) for arm in ("first", "other", "again"))
    assert first == again
    assert first["curve"] != other["curve"], "otherwise the comparison would find nothing"
    assert first["curve"][-1]["costs"]["labels"] > 0 == other["curve"][-1]["costs"]["labels"]
