"""Quotas: no kind of prompt takes more than its share of a choice, several times over.

A score may be wrong about one kind as a whole, and then a zone consists of that kind (UFO-RL's did on strings). Sources
need no quota: each pool of a mix has a selector of its own.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from effrl.types import Prompt

Strata = NDArray[np.int64]
"""[N] number of each prompt's stratum."""

LENGTHS = 3
"""Parts of a pool by length of the prompt: short, middle, long."""


def strata(prompts: Sequence[Prompt]) -> Strata:
    """The stratum of each prompt: its ``level``, where the data has one, and whether it is short, middling or long."""
    lengths = np.array([len(prompt.text) for prompt in prompts])
    borders = np.quantile(lengths, np.arange(1, LENGTHS) / LENGTHS)
    parts = np.searchsorted(borders, lengths, side="left")
    names = [(str(prompt.meta.get("level")), int(part)) for prompt, part in zip(prompts, parts, strict=True)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.int64)


def within_quotas(order: Iterable[int], of: Strata, count: int, quota: float | None) -> list[int]:
    """The first ``count`` of an order, but of each stratum at most ``quota`` times its share of the pool.

    Where that leaves places free, those who were passed over take them, in their order.

    Args:
        order: different indices of prompts, the best first.
        of: [N] strata of the pool.
        count: how many to choose; all, where the order has fewer.
        quota: in multiples of a stratum's share of the pool; None: no quota.
    """
    ranked = list(order)
    if quota is None:
        return ranked[:count]
    room = Counter({part: ceil(quota * count * size / len(of) - 1e-9) for part, size in Counter(of.tolist()).items()})
    chosen: list[int] = []
    passed_over: list[int] = []
    for index in ranked:
        if len(chosen) == count:
            break
        within = room[int(of[index])] > 0
        room[int(of[index])] -= within
        (chosen if within else passed_over).append(index)
    return chosen + passed_over[: count - len(chosen)]
