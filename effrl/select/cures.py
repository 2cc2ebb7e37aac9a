"""CurES: prompts by how much gradient their pass rate allows, and rollouts where the gradient varies most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from effrl.select.posterior import PosteriorSelector
from effrl.types import Float64, Observation, Pick, Prompt

PRIOR = 1.0
"""Pseudo-counts of passes and of failures: the paper's posterior mean is (passes + 1) / (tries + 2)."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """How a draw's rollouts are shared out among its prompts.

    Example: ``Allocation(8, 2, 4.0)`` gives each prompt 2 to 32 rollouts, and 8 on average.
    """

    mean: int
    """Rollouts of a prompt on average, at least ``least``."""
    least: int
    """Fewest of a prompt; one alone has no relative advantage."""
    most: float
    """Most of a prompt, in multiples of the mean; at least 1."""

    def share(self, spread: Float64) -> list[int]:
        """Rollouts [B] in proportion to ``spread`` [B], by largest remainders, ``mean * B`` in all.

        Who would have fewer than ``least`` is raised to it, and who would have more than ``most`` is cut, one rollout
        after the other at the cost of the largest, or in favour of the smallest. Where nothing spreads, all are equal.
        """
        total = self.mean * len(spread)
        counts = np.clip(largest_remainders(spread, total), self.least, int(self.most * self.mean))
        while (excess := counts.sum() - total) != 0:
            counts[np.argmax(counts) if excess > 0 else np.argmin(counts)] -= np.sign(excess)
        return [int(count) for count in counts]


class CuresSelector:
    """A :class:`~effrl.protocols.Selector` whose picks have numbers of rollouts of their own (arXiv 2510.01037).

    With p the posterior mean of a prompt's pass rate and s = sqrt(p (1 - p)), prompts are drawn without replacement in
    proportion to exp(s / tau), and a draw's rollouts are shared out in proportion to s. Both are the paper's, but for
    the standard deviation of its gradients in place of s, which s is where all gradients are equally large. The
    paper samples each prompt anew at the beginning of a phase; here what was known fades instead, and a prompt of
    which nothing is known has the largest s, so that it is tried soon.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int, tau: float, memory: float, allocation: Allocation) -> None:
        """Nothing is known: draws are uniform, and all groups equally large.

        Args:
            prompts: the pool.
            seed: root of the selector's streams.
            tau: temperature of the draw, in units of s.
            memory: share of what was known of a prompt that outlives an observation of it.
            allocation: how rollouts are shared out.

        Raises:
            ValueError: there are no prompts, or two of them share an id.
        """
        self._pool = SpreadSelector(prompts, seed, tau, memory)
        self._allocation = allocation
        self._sizes: list[int] = []

    def select(self, count: int) -> list[Pick]:
        """The next ``count`` prompts, each with its part of ``count`` times the mean number of rollouts.

        Raises:
            ValueError: ``count`` is negative.
        """
        chosen = self._pool.select(count)
        spread = self._pool.spread[[self._pool.index[prompt.id] for prompt in chosen]]
        return [Pick(*pair) for pair in zip(chosen, self._allocation.share(spread), strict=True)]

    def observe(self, seen: Sequence[Observation]) -> None:
        """Take note of outcomes, and of how large groups were."""
        self._sizes = [entry.tries for entry in self._pool.of_pool(seen)]
        self._pool.observe(seen)

    def metrics(self) -> Mapping[str, float]:
        """How unequal the groups were that were observed last; nothing where there were none."""
        if not self._sizes:
            return {}
        return {"select/group_min": min(self._sizes), "select/group_max": max(self._sizes)}

    def state(self) -> Mapping[str, Any]:
        """Number of draws, and the posteriors of prompts that were observed."""
        return self._pool.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state; raises ValueError where it is of other prompts."""
        self._pool.restore(state)


class SpreadSelector(PosteriorSelector):
    """Draws prompts in proportion to exp(s / tau), where s is the standard deviation of one rollout's outcome."""

    def __init__(self, prompts: Sequence[Prompt], seed: int, tau: float, memory: float) -> None:
        """Every posterior is Beta(1, 1); raises ValueError as :class:`~effrl.select.pool.PoolSelector`."""
        super().__init__(prompts, seed, PRIOR, memory)
        self._tau = tau

    @property
    def spread(self) -> Float64:
        """[N] s of every prompt, from the posterior mean of its pass rate: in (0, 1/2]."""
        rates = self._posterior[:, 0] / self._posterior.sum(1)
        return np.asarray(np.sqrt(rates * (1 - rates)))

    def keys(self, random: np.random.Generator) -> Float64:
        """The smallest are successive draws without replacement (Gumbel-top-k)."""
        return np.asarray(-self.spread / self._tau - random.gumbel(size=len(self.prompts)))


def largest_remainders(weights: Float64, total: int) -> Float64:
    """Whole numbers [B] in proportion to weights [B] that sum to ``total``; equal ones where no weight is positive.

    What is left after rounding down goes to the largest remainders, of equals to those that come first.
    """
    if not len(weights):
        return np.zeros(0)
    exact = total * (weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1 / len(weights)))
    counts = np.floor(exact + 1e-9)  # or a share of exactly 3 may be 2.9999
    left = int(total - counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:left]] += 1
    return np.asarray(counts)
