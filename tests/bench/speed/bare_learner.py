"""The floor of learning: forward, backward and AdamW of plain torch, on sequences as long as those that effrl learned.

Rows are sorted by length and padded into passes. Which tokens they hold does not matter to the time, so they are drawn.
"""

import os
import sys
from pathlib import Path
from typing import Any

from tests.bench.speed.processes import run_module
from tests.bench.speed.rows import Clock, Row, passes, read, write

PASS_TOKENS = 1024
"""Of a pass, with padding: the activations stay in the processor's caches, and the products are still large."""


def learner_steps(model: Path, rollouts: Path, directory: Path) -> list[Row]:
    """Rows of the steps in ``rollouts``."""
    found = directory / "learner.jsonl"
    environment = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    run_module("bare_learner", [model, rollouts, found], directory / "learner.log", environment)
    return read(found)


def main(model: str, rollouts: str, found: str) -> None:
    """In the learner's process, with all cores that it may use."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    tokenizer = AutoTokenizer.from_pretrained(model)
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5)
    rows = []
    for step in read(Path(rollouts)):
        learned = [rollout for rollout in step if rollout["learned"]]
        lengths = [len(tokenizer(rollout["prompt"]).input_ids) + rollout["tokens"] for rollout in learned]
        clock = Clock()
        for widths in passes(lengths, PASS_TOKENS):
            _backward(network, widths, sum(lengths))
        optimizer.step()
        optimizer.zero_grad()
        rows.append({**clock.lap(), "rollouts": len(learned), "learned_tokens": sum(r["tokens"] for r in learned)})
    write(Path(found), rows)


def _backward(network: Any, widths: list[int], total: int) -> None:
    """Gradients of one pass's share of a mean cross-entropy over ``total`` tokens."""
    import torch

    ids = torch.randint(2, 64, (len(widths), max(widths)))
    mask = torch.arange(max(widths))[None, :] < torch.tensor(widths)[:, None]
    labels = ids.masked_fill(~mask, -100)
    loss = network(input_ids=ids, attention_mask=mask.long(), labels=labels).loss
    (loss * (sum(widths) / total)).backward()


if __name__ == "__main__":
    main(*sys.argv[1:])
