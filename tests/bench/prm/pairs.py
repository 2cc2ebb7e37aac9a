"""Pairs of a right and a wrong rollout of one group: how many the scores order rightly, by how alike their lengths are.

Pairs are pooled and not averaged over groups as in ``process/accuracy``: of some groups few pairs are alike in length,
and all pairs then count the same.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from effrl.process.metrics import ALIKE
from effrl.types import Float32, Float64

KINDS = ("all", "alike", "equal")
"""All pairs; those whose lengths differ by at most a tenth of the longer one; those of equal lengths."""

Counted = dict[str, tuple[float, int]]
"""By kind: pairs in the right order, a tie being half of one, and pairs."""


def count(outcomes: Sequence[Float32], scores: Sequence[Float64], lengths: Sequence[Sequence[int]]) -> Counted:
    """Of groups, each with [K] outcomes that are 0 or 1, scores and numbers of tokens."""
    found = [_of_group(*group) for group in zip(outcomes, scores, lengths, strict=True)]
    ordered, apart = (np.concatenate([np.zeros(0), *parts]) for parts in zip(*found, strict=True)) if found else _none()
    masks = {"all": apart <= 1, "alike": apart <= ALIKE, "equal": apart == 0}
    return {kind: (float(ordered[mask].sum()), int(mask.sum())) for kind, mask in masks.items()}


def accuracy(counted: Sequence[Mapping[str, Sequence[float]]], kind: str) -> float | None:
    """The share of all pairs of these steps; None without any."""
    pairs = sum(step[kind][1] for step in counted)
    return sum(step[kind][0] for step in counted) / pairs if pairs else None


def area(outcomes: Float32, scores: Float64) -> float | None:
    """Area under the ROC curve of all rollouts of a step, whatever their groups; None where all outcomes are equal."""
    right, wrong = scores[outcomes > 0.5], scores[outcomes <= 0.5]
    if not len(right) or not len(wrong):
        return None
    return float(np.mean((1 + np.sign(right[:, None] - wrong[None])) / 2))


def _of_group(outcomes: Float32, scores: Float64, lengths: Sequence[int]) -> tuple[Float64, Float64]:
    """Of each pair: whether it is in order (0, 1/2 or 1), and the share of the longer one by which lengths differ."""
    right, sizes = outcomes > 0.5, np.asarray(lengths, np.float64)
    ordered = (1 + np.sign(scores[right][:, None] - scores[~right][None])) / 2
    first, second = sizes[right][:, None], sizes[~right][None]
    return ordered.ravel(), (np.abs(first - second) / np.maximum(first, second)).ravel()


def _none() -> tuple[Float64, Float64]:
    return np.zeros(0), np.zeros(0)
