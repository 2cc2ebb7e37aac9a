"""How far the rollouts of a step agree, and what supervises its tokens: numbers that need no label."""

from collections.abc import Sequence

import numpy as np

from effrl.batch import Settled
from effrl.label.buy.entropy import answer_entropy
from effrl.label.care.features import cluster_sizes
from effrl.types import Fate, Judged


def agreement(settled: Sequence[Settled]) -> dict[str, float]:
    """``label/majority_share``, ``label/answer_entropy`` (nats), and ``label/token_share/*``; nothing of no groups."""
    judged = [entry.scored.judged for entry in settled if entry.fate is not Fate.PARKED]
    tokens = {kind: sum(entry.group.tokens for entry in judged if _kind(entry) == kind) for kind in _KINDS}
    answering = [entry.read for entry in judged if entry.read.voted is not None]
    found: dict[str, float] = {}
    if answering:
        found["label/majority_share"] = float(np.mean([read.majority_share for read in answering]))
        found["label/answer_entropy"] = float(np.mean([answer_entropy(cluster_sizes(read)) for read in answering]))
    if total := sum(tokens.values()):
        found |= {f"label/token_share/{kind}": count / total for kind, count in tokens.items()}
    return found


_KINDS = ("label", "vote", "drop")


def _kind(judged: Judged) -> str:
    if judged.supervision is None:
        return "drop"
    return "label" if judged.supervision.is_true else "vote"
