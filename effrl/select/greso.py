"""Skip prompts that will likely teach nothing: those whose last groups were all right, or all wrong, in a row."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from effrl.seeds import derive
from effrl.select.pool import PoolSelector
from effrl.select.uniform import UniformSelector
from effrl.types import Observation, Prompt

LEAST = 0.01
"""Chance of a prompt to be rolled out when its turn comes, however long its run is (released code)."""


class GresoSelector(PoolSelector):
    """A :class:`~effrl.protocols.Selector` that walks the epoch's order and skips at random (GRESO, arXiv 2506.02177).

    A prompt whose last z groups were all solved is rolled out with probability ``max(p_easy ** z, 0.01)`` when its turn
    comes, one whose last z groups all failed with ``max(p_hard ** z, 0.01)``; any other always is. A skip changes
    nothing: the prompt comes again in the next epoch. From the second epoch on each step moves both chances, so that
    the share of groups without signal stays where it should be (released code).

    A call offers each prompt at most once. Where too few are taken, the skipped ones with the shortest runs follow.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        seed: int,
        p: float,
        step: float,
        bounds: Sequence[float],
        easy: float,
        hard: float,
    ) -> None:
        """Nothing is known, and nothing skipped.

        Args:
            prompts: the pool.
            seed: root of the selector's streams.
            p: both chances at first.
            step: by how much a step of the run moves them.
            bounds: smallest and largest chance.
            easy: share of a step's groups that may be solved before ``p_easy`` falls.
            hard: share of a step's groups that may fail before ``p_hard`` falls.

        Raises:
            ValueError: there are no prompts, or two of them share an id.
        """
        super().__init__(prompts, seed)
        self._order = UniformSelector(prompts, seed)
        self._step, self._bounds, self._wanted = step, bounds, (easy, hard)
        self._p = (p, p)
        self._runs = np.zeros(len(prompts), np.int64)
        self._draws = 0

    def draw(self, count: int) -> list[int]:
        """The next prompts of the order that are not skipped."""
        self._draws += 1
        random = np.random.default_rng(derive(self._seed, "greso", self._draws))
        chosen: list[int] = []
        skipped: list[int] = []
        with closing(self._order.walk()) as offers:
            while len(chosen) < count and (offered := next(offers, None)) is not None:
                taken = random.random() < self._chance(offered)
                (chosen if taken else skipped).append(offered)
        skipped.sort(key=lambda index: abs(int(self._runs[index])))
        return [*chosen, *skipped[: count - len(chosen)]]

    def observe(self, seen: Sequence[Observation]) -> None:
        """Lengthen or end runs; after the first epoch, move the chances by the shares of this step's groups."""
        ends = [0, 0]
        known = self.of_pool(seen)
        for entry in known:
            index, run = self.index[entry.prompt.id], int(self._runs[self.index[entry.prompt.id]])
            easy, hard = entry.passes == entry.tries, entry.passes == 0
            ends[0] += easy
            ends[1] += hard
            self._runs[index] = max(run, 0) + 1 if easy else min(run, 0) - 1 if hard else 0
        if known and self._order.epoch > 0:
            shares = (ends[0] / len(known), ends[1] / len(known))
            self._p = (self._moved(0, shares[0]), self._moved(1, shares[1]))

    def metrics(self) -> Mapping[str, float]:
        """Both chances, and the share of the pool that may be skipped."""
        return {
            "select/p_easy": self._p[0],
            "select/p_hard": self._p[1],
            "select/in_runs": float(np.mean(self._runs != 0)),
        }

    def state(self) -> Mapping[str, Any]:
        """The place in the order, the number of draws, both chances, and runs: those of failed groups are negative."""
        runs = {self.prompts[index].id: int(self._runs[index]) for index in np.flatnonzero(self._runs)}
        return {"order": self._order.state(), "draws": self._draws, "p": list(self._p), "runs": runs}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.must_know(state["runs"])
        self._order.restore(state["order"])
        self._draws, self._p = state["draws"], tuple(state["p"])
        self._runs[:] = 0
        for prompt_id, run in state["runs"].items():
            self._runs[self.index[prompt_id]] = run

    def _chance(self, index: int) -> float:
        run = int(self._runs[index])
        return chance(self._p[0] if run > 0 else self._p[1], abs(run))

    def _moved(self, end: int, share: float) -> float:
        step = -self._step if share >= self._wanted[end] else self._step
        low, high = self._bounds
        return min(high, max(low, self._p[end] + step))


def chance(p: float, run: int) -> float:
    """Of being rolled out, after a run of so many groups without signal: ``chance(0.5, 2)`` is 0.25."""
    return max(p**run, LEAST)
