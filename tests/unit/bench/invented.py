"""A small study, and an executor that invents the metrics of a run instead of training."""

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from effrl.config.schema import Config
from effrl.run.metrics import MetricsRow

STEPS, EVERY = 20, 5
STUDY = """\
name: invented
purpose: Is twice as many rollouts worth it?
recipe: {recipe}
overrides: [run.steps=20]
families:
  chain: []
  strings: [learn.lr=5e-5]
arms:
  grpo: []
  renamed: []
  double: [rollout.per_prompt=16]
seeds: [1, 2, 3]
baseline: grpo
"""


def write_study(folder: Path, text: str = STUDY) -> Path:
    """Write a study and its recipe, whose data is never read; return the study's file."""
    recipe = folder / "recipe.yaml"
    recipe.write_text("data: {train: no-such.jsonl, eval: no-such.jsonl}\n")
    path = folder / "study.yaml"
    path.write_text(text.replace("{recipe}", str(recipe)))
    return path


def invented_rows(config: Config, gain: float = 0.35) -> list[dict[str, Any]]:
    """Rows of a run: what it learns depends on its seed, learning rate and rollouts, and on nothing else."""
    rng = random.Random(f"{config.run.seed}/{config.learn.lr}/{config.rollout.per_prompt}")
    reach = gain * (1 + 0.3 * math.log2(config.rollout.per_prompt / 8)) + rng.gauss(0, 0.03)
    rows: list[dict[str, Any]] = [{"step": 0, **_evaluation(0.27)}]
    for step in range(1, config.run.steps + 1):
        learned = 1 - math.exp(-3 * step / config.run.steps)
        rows.append(_step(step, config, 0.27 + reach * learned + rng.gauss(0, 0.008)))
    return rows


def _step(step: int, config: Config, accuracy: float) -> dict[str, Any]:
    rollouts = 32 * config.rollout.per_prompt
    row = {
        "step": step,
        "reward/outcome_mean": accuracy + 0.1234567,
        "select/effective_ratio": 0.5,
        "label/bought_total": 40 * step,
        "rollout/count": rollouts,
        "rollout/tokens": 40 * rollouts,
        "learn/tokens": 30 * rollouts,
        "time/step_s": 6.0,
        "time/eval_s": 0.0,
    }
    if step % EVERY == 0:
        row |= {**_evaluation(accuracy), "time/step_s": 8.0, "time/eval_s": 2.0}
    return row


def _evaluation(accuracy: float) -> dict[str, float]:
    return {"eval/accuracy": accuracy, "eval/pass@4": min(1.0, accuracy + 0.2), "eval/tokens": 20_000.0}


def write_rows(run_dir: Path, rows: Sequence[MetricsRow]) -> None:
    """Write ``metrics.jsonl`` as a run does."""
    run_dir.mkdir(parents=True)
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@dataclass
class Inventor:
    """An executor that remembers what it was asked; ``before`` is called first, and may raise."""

    before: Callable[[Config, Path], None] = lambda config, run_dir: None
    rows: Callable[[Config], list[dict[str, Any]]] = invented_rows
    configs: list[Config] = field(default_factory=list)
    finished: bool = True

    def __call__(self, config: Config, run_dir: Path) -> bool:
        self.configs.append(config)
        self.before(config, run_dir)
        write_rows(run_dir, self.rows(config))
        return self.finished
