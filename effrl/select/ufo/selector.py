"""UFO-RL as a selector: asks how sure the policy is of every answer, and draws from the zone in the middle."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np

from effrl.config.select import Center
from effrl.protocols import LookAhead
from effrl.seeds import derive
from effrl.select.pool import PoolSelector
from effrl.select.strata import strata, within_quotas
from effrl.select.ufo.zone import kept, scores, zone
from effrl.select.uniform import UniformSelector
from effrl.types import Observation, Prompt


class UfoSelector(PoolSelector):
    """A :class:`~effrl.protocols.Selector` that must be told how certain the policy is of its prompts' answers.

    It looks ahead (:class:`~effrl.protocols.LooksAhead`) at its whole pool: before the first step, and then every
    ``rescore_every`` steps. Prompts of which nothing is found out are in no zone. Within a zone every prompt comes once
    per epoch (UFO-RL, arXiv 2505.12457). Before anything is known, the zone is the pool.

    A call for more prompts than the zone has takes those nearest to it besides, and the zone's not twice.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        seed: int,
        ratio: float = 0.1,
        center: Center = "mean",
        rescore_every: int | None = None,
        quota: float | None = None,
    ) -> None:
        """Start without scores.

        Args:
            prompts: the pool.
            seed: root of the selector's streams.
            ratio: share of the scored prompts that is in the zone, rounded down, but at least one.
            center: where the zone lies.
            rescore_every: steps after which the policy has moved so far that all is found out anew; None: never.
            quota: of each stratum's prompts (:mod:`effrl.select.strata`) in the zone; the paper has none.

        Raises:
            ValueError: there are no prompts, or two of them share an id.
        """
        super().__init__(prompts, seed)
        self._ratio, self._center, self._every = ratio, center, rescore_every
        self._strata, self._quota = strata(self.prompts), quota
        self._round: int | None = None
        self._enter(None, {})

    @property
    def ready(self) -> bool:
        """Whether certainties are known."""
        return bool(self._certainty)

    def renew(self) -> None:
        """Ask for certainties anew; until they come, the zone stays."""
        self._round = None

    def request(self, step: int) -> LookAhead | None:
        """The whole pool, where nothing is known yet or what is known is too old."""
        return None if self._round == self._round_of(step) else LookAhead(self.prompts, "certainty")

    def receive(self, step: int, found: Mapping[str, float]) -> None:
        """Choose the zone by new certainties; without any, by those of the last time."""
        known = {prompt_id: value for prompt_id, value in found.items() if prompt_id in self.index}
        self._enter(self._round_of(step), known or self._certainty)

    def metrics(self) -> Mapping[str, float]:
        """Mean certainty of what was scored, and the zone; nothing before that."""
        if not self._certainty:
            return {}
        inside = [self._certainty[prompt.id] for prompt in self._zone.prompts]
        return {
            "select/certainty_mean": fmean(self._certainty.values()),
            "select/zone_low": min(inside),
            "select/zone_high": max(inside),
            "select/zone_size": len(inside),
        }

    def reasons(self) -> Mapping[str, Mapping[str, float | bool]]:
        """Of every scored prompt its certainty, the paper's score, and whether it is in the zone."""
        if not self._certainty:
            return {}
        ranked = scores(np.array(list(self._certainty.values())), self._center)
        return {
            prompt_id: {"certainty": value, "score": float(score), "selected": prompt_id in self._zone.index}
            for (prompt_id, value), score in zip(self._certainty.items(), ranked, strict=True)
        }

    def draw(self, count: int) -> list[int]:
        """``count`` prompts, or all that are scored, if there are fewer."""
        size = len(self._zone.prompts)
        inside = self._zone.select(min(count, size))
        return [self.index[prompt.id] for prompt in inside] + self._nearest[size:count]

    def observe(self, seen: Sequence[Observation]) -> None:
        """Outcomes change nothing here."""

    def state(self) -> Mapping[str, Any]:
        """The round, certainties by prompt id, and the place within the zone's epoch."""
        return {"round": self._round, "certainty": dict(self._certainty), "zone": self._zone.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.must_know(state["certainty"])
        self._enter(state["round"], state["certainty"])
        self._zone.restore(state["zone"])

    def _enter(self, number: int | None, certainty: Mapping[str, float]) -> None:
        """Begin a round with what is known; the zone's first epoch starts."""
        self._round = number
        scored = [index for index, prompt in enumerate(self.prompts) if prompt.id in certainty]
        self._certainty = {self.prompts[index].id: certainty[self.prompts[index].id] for index in scored}
        self._nearest = list(range(len(self.prompts)))
        size = len(self.prompts)
        if scored:
            order = zone(np.array(list(self._certainty.values())), 1.0, self._center)
            size = kept(len(scored), self._ratio)
            ranked = [scored[place] for place in order]
            inside = within_quotas(ranked, self._strata, size, self._quota)
            self._nearest = list(dict.fromkeys([*inside, *ranked]))
        chosen = [self.prompts[index] for index in sorted(self._nearest[:size])]
        self._zone = UniformSelector(chosen, derive(self._seed, "zone", number or 0))

    def _round_of(self, step: int) -> int:
        return 0 if self._every is None else (step - 1) // self._every
