"""Whether a score tells anything, by groups of a zone beside random ones."""

from math import sqrt

import numpy as np
import pytest

from effrl.select.ufo.cache import ScoredPrompt
from effrl.select.ufo.trial import SETTINGS, SignalShare, ZoneSetting, sample, verdicts
from effrl.select.ufo.zone import zone

RANDOM = np.random.default_rng(3)
RATES = RANDOM.beta(0.3, 0.3, 400)
TOKENS = RANDOM.integers(1, 6, 400)
TELLING = [ScoredPrompt(float(rate ** (1 / tokens)), int(tokens)) for rate, tokens in zip(RATES, TOKENS, strict=True)]
"""The product of a target's token probabilities is the pass rate; the geometric mean lifts long targets."""


def measured(places: list[int]) -> dict[int, float]:
    return {place: np.random.default_rng(place).binomial(8, RATES[place]) / 8 for place in places}


def test_the_sample_has_so_many_of_every_zone() -> None:
    chosen = sample(TELLING, 0.1, 16, 1)
    assert len(chosen.random) == 16 and set(chosen.zones) == {*SETTINGS} and len(SETTINGS) == 4
    for setting, places in chosen.zones.items():
        assert len(places) == 16
        assert {*places} <= {*zone(setting.certainties(TELLING), 0.1, setting.center)}
    assert chosen.places == sorted({*chosen.random}.union(*chosen.zones.values()))
    assert sample(TELLING, 0.1, 16, 1) == chosen != sample(TELLING, 0.1, 16, 2)
    assert len(sample(TELLING, 0.02, 16, 1).zones[SETTINGS[0]]) == 8, "a smaller zone as a whole"


def test_a_score_that_tells_pays() -> None:
    chosen = sample(TELLING, 0.1, 40, 1)
    found = verdicts(TELLING, chosen, measured(chosen.places))
    assert found[0].setting.normalise == "none" and found[0].pays
    assert found[0].spearman > 0.9
    assert found[0].gain == max(verdict.gain for verdict in found) > 0.25


def test_a_score_that_tells_nothing_does_not() -> None:
    blind = [ScoredPrompt(float(value), 2) for value in np.random.default_rng(9).random(400)]
    chosen = sample(blind, 0.1, 40, 1)
    assert not any(verdict.pays for verdict in verdicts(blind, chosen, measured(chosen.places)))


def test_a_tiny_zone_is_no_proof() -> None:
    """By chance three groups of three have signal, where half of all have; that is told as a gain too often else."""
    alarms = 0
    for seed in range(60):
        random = np.random.default_rng([seed])
        blind = [ScoredPrompt(float(value), 2) for value in random.random(60)]
        chosen = sample(blind, 0.05, 64, seed)
        rates = {place: 0.5 * float(random.random() < 0.53) for place in chosen.places}
        alarms += verdicts(blind, chosen, rates)[0].pays
    assert alarms <= 9


def test_zones_share_rollouts() -> None:
    chosen = sample(TELLING, 1.0, 20, 1)
    assert len({places for places in chosen.zones.values()}) == 1 and chosen.places == list(chosen.random)


def test_prompts_that_could_not_be_scored_are_left_out() -> None:
    chosen = sample(TELLING, 0.1, 16, 1)
    rates = measured(chosen.places)
    for place in chosen.random[:6]:
        del rates[place]
    assert {verdict.random.groups for verdict in verdicts(TELLING, chosen, rates)} == {10}


def test_errors() -> None:
    assert SignalShare(0.25, 12).error == pytest.approx(sqrt(4 / 14 * 10 / 14 / 12))
    assert SignalShare(1.0, 3).error == pytest.approx(sqrt(0.8 * 0.2 / 3))
    assert ZoneSetting("none", "mean").certainties([ScoredPrompt(0.5, 3)]).tolist() == [0.125]
    assert ZoneSetting("length", "mean").certainties([ScoredPrompt(0.5, 3)]).tolist() == [0.5]
