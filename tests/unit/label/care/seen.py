"""Features and records of groups that nobody sampled."""

from collections.abc import Sequence

import numpy as np

from effrl.label.cag import corrective_advantage_gap
from effrl.label.care.features import Features, possible
from effrl.label.care.records import ProbeRecord

HIDDEN, ROLLOUTS = 6, 8


def seen(sizes: Sequence[int], seed: int = 0, n: int = ROLLOUTS) -> Features:
    """Of a group whose clusters have these sizes, the majority first; the others have no answer."""
    draw = np.random.default_rng(seed)
    admissible = possible(n, sizes)
    votes = sizes[0] if sizes else 0
    return Features(
        prompt=draw.normal(size=HIDDEN).astype(np.float32),
        last=draw.normal(size=(n, HIDDEN)).astype(np.float32),
        valid=sum(sizes) / n,
        shares=np.array([*sizes, *[0] * (n - len(sizes))], np.float32) / n,
        lengths=draw.uniform(size=n).astype(np.float32),
        minority=np.array([votes <= place < sum(sizes) for place in range(n)]),
        admissible=admissible,
        gaps=np.array([admissible[y] * corrective_advantage_gap(n, votes, y) for y in range(n + 1)], np.float32),
    )


def record(sizes: Sequence[int], others_right: int = 0, vote_right: bool = False, seed: int = 0) -> ProbeRecord:
    right = np.zeros(ROLLOUTS, bool)
    right[: sizes[0]] = vote_right
    right[sizes[0] : sizes[0] + others_right] = True
    return ProbeRecord(seen(sizes, seed), right, vote_right, others_right)
