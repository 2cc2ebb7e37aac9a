"""Selection from several pools with weights: each pool's share of the draws is its share of the weights."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from effrl.data.mix import turn
from effrl.protocols import Explains, LookAhead, LooksAhead, Measures, Selector
from effrl.seeds import derive
from effrl.select.pool import another_source
from effrl.select.uniform import UniformSelector
from effrl.types import Observation, Pick, Prompt

Pools = Sequence[tuple[float, Sequence[Prompt]]]
"""Weights, and the prompts that they are for."""

Make = Callable[[Sequence[Prompt], int, float], Selector]
"""Makes the selector of one pool, from its prompts, a seed, and the pool's share of all draws."""


def uniform(pools: Pools, seed: int) -> Selector:
    """A uniform selector over one pool, or over several with weights."""
    return mixed(pools, seed, lambda prompts, seed, _: UniformSelector(prompts, seed))


def mixed(pools: Pools, seed: int, make: Make) -> Selector:
    """A selector over one pool, or over several with weights."""
    if len(pools) == 1:
        return make(pools[0][1], seed, 1.0)
    return MixedSelector(pools, seed, make)


class MixedSelector:
    """A :class:`~effrl.protocols.Selector` that takes turns by weight among pools, each with a selector of its own.

    After any number of draws every pool is within a few draws of its share. One exception: a call draws no prompt
    twice while the pools together have others, so a pool that is smaller than its share of a call gives all it has,
    and catches up in calls that ask for less.
    """

    def __init__(self, pools: Pools, seed: int, make: Make) -> None:
        """Start without draws from any pool.

        Raises:
            ValueError: a pool has no prompts, or two prompts share an id.
        """
        prompts = [prompt.id for _, pool in pools for prompt in pool]
        if len(set(prompts)) < len(prompts):
            raise ValueError("prompt ids must be unique")
        self._weights = [weight for weight, _ in pools]
        self._sizes = [len(pool) for _, pool in pools]
        self._selectors = [
            make(pool, derive(seed, "mix", part), weight / sum(self._weights))
            for part, (weight, pool) in enumerate(pools)
        ]
        self._drawn = [0] * len(pools)

    def select(self, count: int) -> list[Prompt | Pick]:
        """The next ``count`` prompts; none of them twice, unless there are fewer than ``count``.

        Raises:
            ValueError: ``count`` is negative.
        """
        if count < 0:
            raise ValueError(f"cannot select {count} prompts")
        chosen: list[Prompt | Pick] = []
        while len(chosen) < count:
            chosen += self._distinct(min(count - len(chosen), sum(self._sizes)))
        return chosen

    def observe(self, seen: Sequence[Observation]) -> None:
        """Tell the selectors; each of them knows its own prompts."""
        for selector in self._selectors:
            selector.observe(seen)

    def request(self, step: int) -> LookAhead | None:
        """What the selectors want to know, together; they are of one kind, and ask the same kind of question."""
        asked = [request for selector in self._looking if (request := selector.request(step))]
        prompts = tuple(prompt for request in asked for prompt in request.prompts)
        return LookAhead(prompts, asked[0].what) if asked else None

    def receive(self, step: int, found: Mapping[str, float]) -> None:
        """Tell the selectors; each of them knows its own prompts."""
        for selector in self._looking:
            selector.receive(step, found)

    def metrics(self) -> Mapping[str, float]:
        """Means over the pools."""
        told = [selector.metrics() for selector in self._selectors if isinstance(selector, Measures)]
        names = dict.fromkeys(name for metrics in told for name in metrics)
        return {name: fmean(metrics[name] for metrics in told if name in metrics) for name in names}

    def reasons(self) -> Mapping[str, Mapping[str, float | bool]]:
        """What the selectors say; each has prompts of its own."""
        told = [selector.reasons() for selector in self._selectors if isinstance(selector, Explains)]
        return {prompt_id: entry for reasons in told for prompt_id, entry in reasons.items()}

    @property
    def _looking(self) -> list[LooksAhead]:
        return [selector for selector in self._selectors if isinstance(selector, LooksAhead)]

    def state(self) -> Mapping[str, Any]:
        """Draws of every pool so far, and the states of their selectors."""
        return {"drawn": list(self._drawn), "pools": [selector.state() for selector in self._selectors]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state of a selector with the same pools and seed.

        Raises:
            ValueError: the state cannot belong to these pools.
        """
        if len(state.get("pools", ())) != len(self._selectors):
            raise another_source()
        for selector, saved in zip(self._selectors, state["pools"], strict=True):
            selector.restore(saved)
        self._drawn = list(state["drawn"])

    def _distinct(self, count: int) -> list[Prompt | Pick]:
        """``count`` different prompts, at most all of them, so that there always is a pool with another one."""
        turns: list[int] = []
        left = dict(enumerate(self._sizes))
        for _ in range(count):
            part = turn(self._weights, self._drawn, left)
            self._drawn[part] += 1
            left[part] -= 1
            if left[part] == 0:
                del left[part]
            turns.append(part)
        drawn = [iter(selector.select(turns.count(part))) for part, selector in enumerate(self._selectors)]
        return [next(drawn[part]) for part in turns]
