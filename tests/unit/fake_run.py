"""A run directory with invented numbers, for tests of what reads one."""

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FATES = ("trained", "filtered", "dropped", "failed")
STAGES = {"rollout": 0.9, "label": 0.05, "score": 0.1, "learn": 0.6, "publish": 0.15, "eval": 0.0, "commit": 0.05}
CONFIG = """\
model:
  path: tiny
rollout:
  prompts: 32
  per_prompt: 8
learn:
  lr: {lr}
run:
  steps: {total}
  seed: {seed}
"""


def write_run(
    path: Path, steps: int = 12, total: int | None = None, seed: int = 1, lr: float = 1e-4, evaluate: bool = True
) -> Path:
    """Write a run of ``steps`` committed steps out of ``total``; return its directory."""
    path.mkdir(parents=True)
    random_numbers = random.Random(seed)
    (path / "config.yaml").write_text(CONFIG.format(total=total or steps, seed=seed, lr=lr))
    rows = [base_row() if evaluate else {"step": 0}]
    rows += [step_row(step, steps, random_numbers, evaluate) for step in range(1, steps + 1)]
    write_lines(path / "metrics.jsonl", rows)
    for step in range(1, steps + 1):
        groups = [group(step, index, FATES[index % 2]) for index in range(8)]
        write_lines(path / "groups" / f"step_{step:06}.jsonl", groups)
    return path


def base_row() -> dict[str, Any]:
    """Row 0: the evaluation of the base."""
    return {"step": 0, "eval/accuracy": 0.301, "eval/pass@4": 0.52, "eval/greedy": 0.35, "time/eval_s": 1.5}


def step_row(step: int, steps: int, random_numbers: random.Random, evaluate: bool = True) -> dict[str, Any]:
    """One step of a run that learns."""
    done = 1 - math.exp(-3 * step / max(1, steps))
    trained = 20 + int(8 * random_numbers.random())
    row: dict[str, Any] = {
        "step": step,
        "reward/outcome_mean": 0.3 + 0.2 * done + random_numbers.gauss(0, 0.03),
        "rollout/count": 256,
        "rollout/tokens": int(256 * random_numbers.uniform(35, 45)),
        "groups/rolled": 36,
        "groups/trained": trained,
        "groups/filtered": 36 - trained - 2,
        "groups/dropped": 0,
        "groups/failed": 2,
        "label/bought": 32,
        "label/bought_total": 32 * step,
        "policy/entropy": 1.2 - 0.5 * done + random_numbers.gauss(0, 0.02),
        "policy/version": step,
        "sync/verified": True,
        "mismatch/kl": abs(random_numbers.gauss(2e-5, 1e-5)),
        "memory/rss_mb/driver": 410 + step,
        "memory/rss_mb/rollout": 2300 + 2 * step,
        "memory/rss_mb/learner": 1450,
    }
    times = {f"time/{stage}_s": seconds * random_numbers.uniform(0.9, 1.2) for stage, seconds in STAGES.items()}
    if evaluate and (step % 4 == 0 or step == steps):
        row |= {
            "eval/accuracy": 0.301 + 0.14 * done,
            "eval/pass@4": 0.52 + 0.2 * done,
            "eval/greedy": 0.35 + 0.1 * done,
        }
        times["time/eval_s"] = 1.4
    return {**row, **times, "time/step_s": sum(times.values()) + 0.1}


def group(step: int, index: int, fate: str = "trained", **changes: Any) -> dict[str, Any]:
    """One line of a file in ``groups/``."""
    prompt_id = f"chain/{step:02x}{index:02x}"
    record = {
        "id": f"{step}/{prompt_id}",
        "step": step,
        "prompt_id": prompt_id,
        "prompt": "12+34-7=",
        "fate": fate,
        "reason": "" if fate == "trained" else "all outcomes are equal",
        "grounds": {"score": 4.7},
        "label_source": "bought",
        "answer": "39",
        "rollouts": [rollout(1.0 if right else 0.0) for right in _outcomes(fate)],
    }
    return {**record, **changes}


def rollout(outcome: float | None, **changes: Any) -> dict[str, Any]:
    """One rollout of a group; no outcome: the verifier timed out."""
    text, answer = ("12+34=46;46-7=39;#39", "39") if outcome else ("12+34=45;45-7=38;#38", "38")
    record = {
        "text": text,
        "tokens": 21,
        "finish_reason": "stop",
        "outcome": outcome,
        "reward": outcome,
        "status": "timeout" if outcome is None else "ok",
        "answer": answer,
        "version_min": 3,
        "version_max": 3,
    }
    return {**record, **changes}


def rewarded(outcome: float | None, *tokens: tuple[str, float], **changes: Any) -> dict[str, Any]:
    """A rollout whose tokens have process rewards."""
    text = "".join(piece for piece, _ in tokens)
    return rollout(
        outcome, **{"text": text, "tokens": len(tokens), "process": [list(token) for token in tokens], **changes}
    )


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a JSON Lines file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _outcomes(fate: str) -> list[bool]:
    return [True, False, True, False] if fate == "trained" else [False] * 4
