"""Does a score tell anything? A few prompts of each zone are rolled out, beside as many at random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import get_args

import numpy as np

from effrl.config.select import Center, Normalise
from effrl.difficulty.metrics import spearman
from effrl.seeds import derive
from effrl.select.ufo.cache import ScoredPrompt
from effrl.select.ufo.zone import zone
from effrl.types import Float64

CLEAR = 2.0
"""Standard errors by which a zone must beat random prompts to be said to."""


@dataclass(frozen=True, slots=True)
class ZoneSetting:
    """How a zone is cut out of the same scores: ``ZoneSetting("none", "mean")``."""

    normalise: Normalise
    center: Center

    def certainties(self, scored: Sequence[ScoredPrompt]) -> Float64:
        """[N] of prompts that fit."""
        return np.array([entry.normalised(self.normalise) for entry in scored])


SETTINGS = tuple(ZoneSetting(normalise, center) for normalise in get_args(Normalise) for center in get_args(Center))


@dataclass(frozen=True, slots=True)
class TrialSample:
    """Which prompts to roll out, by their place in the pool."""

    random: tuple[int, ...]
    zones: Mapping[ZoneSetting, tuple[int, ...]]

    @property
    def places(self) -> list[int]:
        """All of them, each once."""
        return sorted({*self.random, *(place for zone in self.zones.values() for place in zone)})


def sample(scored: Sequence[ScoredPrompt], ratio: float, count: int, seed: int) -> TrialSample:
    """``count`` prompts at random, and as many of each setting's zone, or all of a smaller one."""
    random = np.random.default_rng(derive(seed, "trial"))

    # One order for all: what several zones have in common is rolled out once, and compared on the same rollouts.
    turn = np.argsort(random.permutation(len(scored)))

    def some(places: Sequence[int]) -> tuple[int, ...]:
        return tuple(sorted(sorted(places, key=lambda place: turn[place])[:count]))

    zones = {setting: some(zone(setting.certainties(scored), ratio, setting.center)) for setting in SETTINGS}
    return TrialSample(some(range(len(scored))), zones)


@dataclass(frozen=True, slots=True)
class SignalShare:
    """Of groups with signal, of so many: ``SignalShare(0.4, 64)``."""

    value: float
    groups: int

    @property
    def error(self) -> float:
        """Standard error, of the share with one group more of either kind: a few groups that agree are no certainty."""
        rate = (self.value * self.groups + 1) / (self.groups + 2)
        return sqrt(rate * (1 - rate) / self.groups)


@dataclass(frozen=True, slots=True)
class ZoneVerdict:
    """What a setting is worth."""

    setting: ZoneSetting
    share: SignalShare
    """Of its zone."""
    spearman: float
    """Of certainties and pass rates, over the random prompts."""
    random: SignalShare

    @property
    def gain(self) -> float:
        """By how much a group of the zone is likelier to have signal."""
        return self.share.value - self.random.value

    @property
    def pays(self) -> bool:
        """Whether that is more than chance."""
        return self.gain > CLEAR * sqrt(self.share.error**2 + self.random.error**2)


def verdicts(scored: Sequence[ScoredPrompt], chosen: TrialSample, rates: Mapping[int, float]) -> list[ZoneVerdict]:
    """One per setting, the largest gain first.

    Args:
        scored: the pool.
        chosen: of :func:`sample`.
        rates: pass rates of the prompts that could be scored, by their place.
    """
    known = [place for place in chosen.random if place in rates]
    true, random = np.array([rates[place] for place in known]), _share(known, rates)
    found = [
        ZoneVerdict(setting, _share(places, rates), spearman(setting.certainties(scored)[known], true), random)
        for setting, places in chosen.zones.items()
    ]
    return sorted(found, key=lambda verdict: -verdict.gain)


def _share(places: Sequence[int], rates: Mapping[int, float]) -> SignalShare:
    groups = [0 < rates[place] < 1 for place in places if place in rates]
    return SignalShare(sum(groups) / len(groups), len(groups)) if groups else SignalShare(0.0, 1)
