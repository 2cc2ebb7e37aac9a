"""What UFO-RL's zone is made of: ``python -m tests.bench.ufo_zone "tasks:strings?size=2000" scores.jsonl``.

Reads what ``effrl score`` found of the same source, samples every prompt of it sixteen times, and prints pass rates,
kinds and levels of the pool, of the zone, and of the zone by the plain product of the target's token probabilities.
About a minute on one core for the tiny model.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM, AutoTokenizer

from effrl.config import load
from effrl.data.reader import read
from effrl.data.rows import Row
from effrl.difficulty.metrics import spearman
from effrl.models import locate
from effrl.reward.verifiers import task
from effrl.select.ufo.zone import zone

SAMPLES, GROUP, BATCH, MAX_TOKENS = 16, 8, 64, 40
Outcomes = NDArray[np.float64]


def sample(model: str, rows: Sequence[Row]) -> Outcomes:
    """[P, 16] outcomes of a model's samples at temperature 1."""
    torch.manual_seed(0)
    directory = locate(model)
    tokenizer = AutoTokenizer.from_pretrained(directory, padding_side="left")
    policy = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    outcomes = np.zeros((len(rows), SAMPLES))
    order = sorted(range(len(rows)), key=lambda place: len(rows[place].prompt.text))
    for start in range(0, len(order), BATCH):
        places = [place for place in order[start : start + BATCH] for _ in range(SAMPLES)]
        texts = tokenizer([rows[place].prompt.text for place in places], return_tensors="pt", padding=True)
        with torch.inference_mode():
            ids = policy.generate(
                input_ids=texts["input_ids"], attention_mask=texts["attention_mask"], do_sample=True, top_k=0,
                max_new_tokens=MAX_TOKENS, pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
        found = tokenizer.batch_decode(ids[:, texts["input_ids"].shape[1] :], skip_special_tokens=True)
        for number, (place, completion) in enumerate(zip(places, found, strict=True)):
            verdict = task(completion, rows[place].label, rows[place].prompt.meta)
            outcomes[place, number % SAMPLES] = verdict.outcome
    return outcomes


def describe(name: str, rows: Sequence[Row], outcomes: Outcomes, chosen: Sequence[int]) -> str:
    """One line: how many prompts, their pass rate, signal, kinds and levels."""
    groups = outcomes[chosen].reshape(-1, GROUP).mean(1)
    kinds = Counter(rows[place].prompt.meta["kind"] for place in chosen)
    levels = Counter(rows[place].prompt.meta["level"] for place in chosen)
    return (
        f"{name}: {len(chosen)} prompts, pass rate {groups.mean():.3f}, never right"
        f" {(outcomes[chosen].max(1) == 0).mean():.2f}, groups with signal {((groups > 0) & (groups < 1)).mean():.2f}"
        f"\n  kinds {dict(kinds.most_common())}, levels {dict(sorted(levels.items()))}"
    )


def main(source: str, scores: Path, model: str = "tiny", ratio: float = 0.1) -> None:
    """Print what a zone is made of."""
    found = {row["id"]: row for row in map(json.loads, scores.read_text().splitlines())}
    config = load.validate({"data": {"train": source}}, "ufo_zone").data
    rows = [row for row in read(config.train, config.form) if row.prompt.id in found]
    certainty = np.array([found[row.prompt.id]["certainty"] for row in rows])
    tokens = np.array([found[row.prompt.id]["target_tokens"] for row in rows])
    outcomes = sample(model, rows)
    print(describe("pool", rows, outcomes, range(len(rows))))
    for name, scored in (("geometric mean", certainty), ("product", certainty**tokens)):
        print(f"{name}: Spearman with the pass rate {spearman(scored, outcomes.mean(1)):.2f}")
        print(describe(f"zone by {name}", rows, outcomes, zone(scored, ratio)))


if __name__ == "__main__":
    typer.run(main)
