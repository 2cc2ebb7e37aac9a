"""The calibrated selector: what it draws in an invented pool, and that nothing of it is lost."""

import json

import numpy as np
import pytest

from effrl.difficulty.calibrated import CalibratedPredictor
from effrl.select.calibrated import CalibratedSelector, NearTarget
from effrl.types import Observation, Prompt

COUNT = 400
RANDOM = np.random.default_rng(7)
EMBEDDINGS = RANDOM.standard_normal((COUNT, 5)).astype(np.float32)
RATES = 1 / (1 + np.exp(-4 * EMBEDDINGS[:, 0] - 2))
"""Most prompts are solved, some are not, few lie between."""
POOL = tuple(Prompt(f"p/{number}", f"{number}?") for number in range(COUNT))


def make(aim: NearTarget = NearTarget(quota=None), certainties: bool = False) -> CalibratedSelector:  # noqa: B008
    return CalibratedSelector(POOL, 1, CalibratedPredictor(EMBEDDINGS), aim, certainties)


def rolled(index: int, seed: int) -> Observation:
    return Observation(POOL[index], float(np.random.default_rng([index, seed]).binomial(8, RATES[index])), 8)


def measured(selector: CalibratedSelector, count: int = 64) -> None:
    selector.observe([rolled(index, 0) for index in range(count)])


def test_it_is_ready_once_enough_is_measured() -> None:
    selector = make()
    measured(selector, 63)
    assert not selector.ready
    selector.observe([rolled(100, 0), Observation(Prompt("elsewhere", "?"), 1.0, 8), Observation(POOL[3], 0.0, 0)])
    assert selector.ready


def test_it_draws_what_is_half_solved() -> None:
    selector = make()
    measured(selector)
    chosen = selector.draw(24)
    signal = 1 - RATES**8 - (1 - RATES) ** 8
    assert signal.mean() < 0.45 < 0.8 < signal[chosen].mean()
    assert len(set(chosen)) == 24


def test_a_prompt_that_was_drawn_rests() -> None:
    selector = make()
    measured(selector)
    drawn = [index for _ in range(8) for index in selector.draw(16)]
    assert len(set(drawn)) == 8 * 16
    assert set(selector.draw(16)) & set(drawn[:16])


def test_what_it_measures_changes_what_it_draws() -> None:
    selector = make()
    measured(selector)
    before = EMBEDDINGS[selector.draw(24), 0].mean()
    for step in range(4):  # the policy has learned: what was half solved is solved
        better = 1 / (1 + np.exp(-4 * EMBEDDINGS[:, 0] - 6))
        passes = np.random.default_rng(step).binomial(8, better)
        selector.observe([Observation(POOL[index], float(passes[index]), 8) for index in range(step, COUNT, 9)])
    assert EMBEDDINGS[selector.draw(24), 0].mean() < before - 0.4
    assert selector.metrics()["select/pearson"] > 0.5


def test_quotas_hold() -> None:
    pool = tuple(Prompt(f"p/{number}", "?", {"level": int(EMBEDDINGS[number, 0] > -0.5)}) for number in range(COUNT))
    selector = CalibratedSelector(pool, 1, CalibratedPredictor(EMBEDDINGS), NearTarget(quota=1.0))
    selector.observe([Observation(pool[index], rolled(index, 0).passes, 8) for index in range(64)])
    shares = np.array([prompt.meta["level"] for prompt in pool])
    assert shares[selector.draw(40)].mean() == pytest.approx(shares.mean(), abs=0.03)


def test_of_a_large_pool_a_part_is_ranked() -> None:
    selector = make(NearTarget(candidates=50, quota=None))
    measured(selector)
    assert np.isfinite(selector.keys(np.random.default_rng(1))).sum() == 50
    assert len(set(selector.draw(60))) == 60


def test_certainties_are_asked_for_once_and_after_a_rest() -> None:
    selector = make(certainties=True)
    request = selector.request(1)
    assert request is not None and request.what == "certainty" and request.prompts == POOL
    selector.receive(1, {prompt.id: float(rate) for prompt, rate in zip(POOL, RATES, strict=True)} | {"elsewhere": 0.5})
    assert selector.request(1) is None
    measured(selector)
    assert 0.2 < RATES[selector.draw(24)].mean() < 0.8
    selector.renew()
    assert selector.request(9) is not None
    assert make().request(1) is None


def test_only_the_newest_groups_are_kept() -> None:
    selector = make(NearTarget(keep=70, reference=64))
    for start in range(0, 200, 50):
        selector.observe([rolled(index, 0) for index in range(start, start + 50)])
    assert [entry["prompt_id"] for entry in selector.state()["seen"]] == [f"p/{number}" for number in range(130, 200)]


def test_a_look_at_what_comes_next_costs_no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    selector = make()
    measured(selector)
    selector.draw(8)
    state = json.loads(json.dumps(selector.state()))
    monkeypatch.setattr(CalibratedPredictor, "fit", None)
    ahead = selector.draw(8)
    selector.restore(state)
    assert selector.draw(8) == ahead


def test_it_goes_on_from_a_saved_state() -> None:
    one = make(certainties=True)
    one.receive(1, {prompt.id: float(rate) for prompt, rate in zip(POOL, RATES, strict=True)})
    measured(one)
    one.draw(16)
    other = make(certainties=True)
    other.restore(json.loads(json.dumps(one.state())))
    for selector in (one, other):
        selector.observe([rolled(index, 1) for index in range(200, 220)])
    assert one.draw(16) == other.draw(16)
    assert one.state() == other.state()
    with pytest.raises(ValueError, match="another data source"):
        CalibratedSelector(POOL[:9], 1, CalibratedPredictor(EMBEDDINGS[:9]), NearTarget()).restore(one.state())
