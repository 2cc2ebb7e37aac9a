"""The floor of learning: forward, backward and AdamW of plain torch, on sequences as long as those that effrl learned.

Rows are sorted by length and padded into passes. Which tokens they hold does not matter to the time, so they are drawn.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.speed.processes import run_module
from tests.bench.speed.rows import Clock, Row, passes, read, write

PASS_TOKENS = (1024, 4096, 16384)
"""Sizes of a pass, with padding, of which the fastest is taken: caches favour small ones, small models large ones."""


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

    def learn(lengths: Sequence[int], pass_tokens: int) -> Row:
        clock = Clock()
        for widths in passes(lengths, pass_tokens):
            _backward(network, widths, sum(lengths))
        optimizer.step()
        optimizer.zero_grad()
        return clock.lap()

    learned = [[rollout for rollout in step if rollout["learned"]] for step in read(Path(rollouts))]
    lengths = [[len(tokenizer(row["prompt"]).input_ids) + row["tokens"] for row in step] for step in learned]
    learn(lengths[0], PASS_TOKENS[0])  # allocates the optimizer's moments
    fastest = min(PASS_TOKENS, key=lambda size: learn(lengths[0], size)["wall_s"])
    counts = [{"learned_tokens": sum(row["tokens"] for row in step), "pass_tokens": fastest} for step in learned]
    write(Path(found), [{**learn(step, fastest), **count} for step, count in zip(lengths, counts, strict=True)])


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
