"""Sampling without replacement near a target, in log space."""

import numpy as np

from effrl.select.ranked import smallest
from effrl.types import Float64


def keys(difficulty: Float64, target: float, temperature: float, random: np.random.Generator) -> Float64:
    """[N] keys whose smallest are a sample: the first in proportion to ``exp(-|difficulty - target| / temperature)``,
    each next in the same proportions among the rest.

    The Gumbel-top-k trick: adding standard Gumbel noise to log-weights and sorting is successive sampling without
    replacement. In weights instead of their logs, at DOTS' temperature of 1e-3 (arXiv 2506.05316) whatever is 0.1
    farther from the target than the best would have weight 0 in float32, and a draw of more prompts than weights fails.

    Raises:
        ValueError: a difficulty is not finite, or the temperature is not positive.
    """
    if not np.isfinite(difficulty).all():
        raise ValueError("a predicted difficulty is not finite")
    if not temperature > 0:
        raise ValueError(f"the temperature must be positive, not {temperature}")
    return np.asarray(np.abs(difficulty - target) / temperature - random.gumbel(size=len(difficulty)))


def sample_near(
    difficulty: Float64, count: int, target: float, temperature: float, random: np.random.Generator
) -> list[int]:
    """``count`` different indices in the order they are drawn in, at most all of them.

    Raises:
        ValueError: ``count`` is negative or more than there are, or as :func:`keys`.
    """
    if not 0 <= count <= len(difficulty):
        raise ValueError(f"cannot draw {count} of {len(difficulty)} without replacement")
    return smallest(keys(difficulty, target, temperature, random), count)
