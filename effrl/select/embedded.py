"""A pool with its embeddings, for selectors that predict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from effrl.difficulty.embedding import Pooling, embedded
from effrl.seeds import derive
from effrl.types import Float32, Prompt

Note = Callable[[str], None]
"""Gets one line for the user."""


@dataclass(frozen=True, slots=True)
class EmbeddedPool:
    """Prompts, and one row of embeddings for each."""

    prompts: Sequence[Prompt]
    rows: Float32
    """[N, D]."""


def embedded_pool(
    prompts: Sequence[Prompt], limit: int | None, model: Path, pooling: Pooling, seed: int, note: Note
) -> EmbeddedPool:
    """All prompts, or ``limit`` of them at random, embedded by a model; lines say so."""
    pool = _part(prompts, limit, seed, note)
    found = embedded(model, [prompt.text for prompt in pool], pooling=pooling)
    made = "found embedded" if found.seconds is None else f"embedded in {found.seconds:.1f} s"
    note(f"select: {len(pool):,} prompts {made} with {model.name}, {found.rows.shape[1]} dimensions: {found.path}")
    return EmbeddedPool(pool, found.rows)


def _part(prompts: Sequence[Prompt], limit: int | None, seed: int, note: Note) -> Sequence[Prompt]:
    """In the order of the pool."""
    if limit is None or limit >= len(prompts):
        return prompts
    chosen = np.random.default_rng(derive(seed, "pool")).choice(len(prompts), limit, replace=False)
    note(f"select: chooses among {limit:,} of {len(prompts):,} prompts, drawn at random (select.pool)")
    return [prompts[index] for index in np.sort(chosen)]
