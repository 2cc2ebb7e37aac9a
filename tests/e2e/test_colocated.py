"""A run on one GPU that engine and learner share; not run yet."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.gpu
@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="needs a GPU")
def test_engine_and_learner_take_turns_on_one_gpu(effrl: Any, tmp_path: Path) -> None:
    one = "{per_node: 1, gpus: 1}"
    run = effrl(
        *("train", "quickstart", "run.dir=shared", "run.steps=3", "rollout.gpu_memory=0.4"),
        *("cluster.colocate=true", f"cluster.rollout={one}", f"cluster.learner={one}"),
    )
    assert run.end(900) == 0, run.output()
    rows = [json.loads(line) for line in (tmp_path / "shared" / "metrics.jsonl").read_text().splitlines()]
    assert [row.get("sync/verified") for row in rows] == [None, True, True, True]
