"""Groups that a run learned from, kept as arrays: a file for each step."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from effrl.types import Float32, Int32, ScoredGroup


@dataclass(frozen=True, slots=True)
class Recorded:
    """A group of K rollouts that all have an outcome."""

    prompt: str
    prompt_ids: Int32
    """[P]"""
    tokens: tuple[Int32, ...]
    """[T_i] sampled tokens of each rollout."""
    texts: tuple[str, ...]
    outcomes: Float32
    """[K]"""

    @property
    def lengths(self) -> list[int]:
        return [len(row) for row in self.tokens]


def recorded_of(scored: ScoredGroup) -> Recorded:
    """A group less its rollouts without an outcome."""
    pairs = zip(scored.group.rollouts, (score.outcome for score in scored.scores), strict=True)
    kept = [(rollout, outcome) for rollout, outcome in pairs if outcome is not None]
    return Recorded(
        scored.group.prompt.text,
        scored.group.prompt_ids,
        tuple(rollout.token_ids for rollout, _ in kept),
        tuple(rollout.text for rollout, _ in kept),
        np.array([outcome for _, outcome in kept], np.float32),
    )


def write(path: Path, groups: Sequence[Recorded]) -> None:
    """Keep the groups of a step. It is there whole or not at all: a run that was killed repeats its step."""
    rows = [row for group in groups for row in group.tokens]
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.savez_compressed(
            file,
            prompts=np.array([group.prompt for group in groups], str),
            prompt_lengths=np.array([len(group.prompt_ids) for group in groups], int),
            prompt_ids=_joined([group.prompt_ids for group in groups]),
            sizes=np.array([len(group.tokens) for group in groups], int),
            lengths=np.array([len(row) for row in rows], int),
            tokens=_joined(rows),
            texts=np.array([text for group in groups for text in group.texts], str),
            outcomes=np.concatenate([np.zeros(0, np.float32), *(group.outcomes for group in groups)]),
        )
    unfinished.rename(path)


def read(path: Path) -> list[Recorded]:
    """The groups of a step."""
    with np.load(path) as kept:
        sizes, at = kept["sizes"].tolist(), iter(np.split(kept["tokens"], np.cumsum(kept["lengths"])[:-1]))
        texts, outcomes = (np.split(kept[name], np.cumsum(sizes)[:-1]) for name in ("texts", "outcomes"))
        prompt_ids = np.split(kept["prompt_ids"], np.cumsum(kept["prompt_lengths"])[:-1])
        return [
            Recorded(prompt, ids, tuple(next(at) for _ in range(size)), tuple(said.tolist()), right)
            for prompt, ids, size, said, right in zip(
                kept["prompts"].tolist(), prompt_ids, sizes, texts, outcomes, strict=bool(sizes)
            )
        ]


def read_steps(folder: Path) -> list[list[Recorded]]:
    """The groups of all steps of a run, in order."""
    return [read(path) for path in sorted(folder.glob("step_*.npz"))]


def _joined(rows: Sequence[Int32]) -> Int32:
    return np.concatenate([np.zeros(0, np.int32), *rows])
