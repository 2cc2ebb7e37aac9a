"""What a probe sees of a group before any label is known (RLAVR/CARE)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from effrl.label.cag import corrective_advantage_gap
from effrl.types import Float32, ReadGroup, View


@dataclass(frozen=True, slots=True)
class Features:
    """Of one group of n rollouts, whose hidden states have H numbers."""

    prompt: Float32
    """[H] hidden state of the prompt's last token."""
    last: Float32
    """[n, H] hidden state of each rollout's last token."""
    valid: float
    """Share of the rollouts with an answer."""
    shares: Float32
    """[n] sizes of the clusters of answers as shares of n, the largest first, then zeros."""
    lengths: Float32
    """[n] sampled tokens as shares of the longest completion."""
    minority: NDArray[np.bool_]
    """[n] whether a rollout has an answer that is not the majority's."""
    admissible: NDArray[np.bool_]
    """[n + 1] numbers of right rollouts outside the majority that are possible: 0, and every sum of other clusters."""
    gaps: Float32
    """[n + 1] the corrective advantage gap of each of them if the vote is wrong; 0 where it is not admissible."""


def features(read: ReadGroup, view: View, longest: int) -> Features:
    """What the probes see of a group; ``longest`` is the largest number of tokens of a completion."""
    assert view.prompt is not None and view.last is not None, "the halves of the labeller want both"
    n, sizes = len(read.clusters), cluster_sizes(read)
    admissible = possible(n, sizes)
    majority = sizes[0] if sizes else 0
    shares = np.zeros(n, np.float32)
    shares[: len(sizes)] = np.array(sizes, np.float32) / n
    lengths = np.array([len(rollout.token_ids) for rollout in read.group.rollouts], np.float32)
    return Features(
        prompt=view.prompt,
        last=view.last,
        valid=sum(sizes) / n,
        shares=shares,
        lengths=np.clip(lengths / longest, 0, 1),
        minority=np.array([cluster not in (None, 0) for cluster in read.clusters]),
        admissible=admissible,
        gaps=np.array([admissible[y] * corrective_advantage_gap(n, majority, y) for y in range(n + 1)], np.float32),
    )


def cluster_sizes(read: ReadGroup) -> list[int]:
    """Rollouts of each cluster of answers, the largest first."""
    return [read.size(cluster) for cluster in sorted({found for found in read.clusters if found is not None})]


def possible(n: int, sizes: Sequence[int]) -> NDArray[np.bool_]:
    """[n + 1] numbers of rollouts outside the majority that may be right.

    Several clusters may be: the true answer may have been written in ways that nobody found equal.
    """
    sums = {0}
    for size in sizes[1:]:
        sums |= {known + size for known in sums}
    return np.array([right in sums for right in range(n + 1)])
