"""effrl's arm: a real run of ``effrl train``, read from its metrics and its group store."""

import os
import sys
from pathlib import Path
from typing import Any

import yaml

from effrl.run.groups import settled_file
from tests.bench.speed.processes import run
from tests.bench.speed.rows import Row, of_metrics, read, sampled
from tests.bench.speed.sizes import ROOT, Size


def effrl_steps(
    size: Size, model: Path, prompts: Path, steps: int, directory: Path
) -> tuple[list[Row], list[list[dict[str, Any]]]]:
    """Rows of the steps, and the rollouts that each sampled."""
    directory.mkdir()
    config, out = directory / "config.yaml", directory / "run"
    config.write_text(yaml.safe_dump(config_of(size, model, prompts, steps, out)))
    search = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    # The other arms run at the bench's own niceness; Ray would put its workers at 15.
    environment = {"RAY_worker_niceness": "0", "PYTHONPATH": search}
    run([Path(sys.executable).parent / "effrl", "train", config], directory / "effrl.log", environment)
    rollouts = [sampled(read(settled_file(out / "groups", step))) for step in range(1, steps + 1)]
    return of_metrics(read(out / "metrics.jsonl")), rollouts


def config_of(size: Size, model: Path, prompts: Path, steps: int, out: Path) -> dict[str, Any]:
    """The run's settings: effrl's defaults, but for the work to do. No refills, since TRL has none."""
    sampling = {"prompts": size.prompts, "per_prompt": size.per_prompt, "max_tokens": size.max_tokens, "refill": 0}
    return {
        "model": {"path": str(model), "context": size.context},
        "data": {"train": str(prompts)},
        "reward": {"kind": "tests.bench.speed.coin:coin"},
        "rollout": sampling,
        "learn": {"lr": 1e-5},
        "run": {"steps": steps, "save_every": 1_000_000, "dir": str(out)},
    }
