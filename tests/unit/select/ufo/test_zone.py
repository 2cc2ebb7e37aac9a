"""The selector of UFO-RL: when it looks, what it draws, and what it says about that."""

import json

import pytest

from effrl.select.mixed import mixed
from effrl.select.ufo.selector import UfoSelector
from tests.unit.select.pools import numbers, pool

CERTAINTY = {f"p/{number}": number / 20 for number in range(20)}
"""The mean is 0.475: 9 and 10 are nearest, then 8 and 11."""


def measured(**settings: object) -> UfoSelector:
    selector = UfoSelector(pool(20), 1, **{"ratio": 0.2, **settings})  # type: ignore[arg-type]
    selector.receive(1, CERTAINTY)
    return selector


def test_looks_at_the_whole_pool_once() -> None:
    selector = UfoSelector(pool(20), 1)
    request = selector.request(1)
    assert request is not None and request.what == "certainty" and numbers(request.prompts) == list(range(20))
    assert selector.request(1) == request, "until it is told"
    selector.receive(1, CERTAINTY)
    assert [selector.request(step) for step in (1, 2, 500)] == [None] * 3


def test_looks_again_where_rescoring_is_asked_for() -> None:
    selector = UfoSelector(pool(20), 1, rescore_every=3)
    looked = []
    for step in range(1, 9):
        if selector.request(step) is not None:
            looked.append(step)
            selector.receive(step, CERTAINTY)
    assert looked == [1, 4, 7]


def test_draws_the_zone_uniformly_epoch_by_epoch() -> None:
    selector = measured()
    epochs = [numbers(selector.select(2) + selector.select(2)) for _ in range(20)]
    assert all(sorted(epoch) == [8, 9, 10, 11] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 5, "in another order each time"


def test_a_call_beyond_the_zone_takes_what_is_nearest() -> None:
    assert sorted(numbers(measured().select(6))) == [7, 8, 9, 10, 11, 12]


def test_prompts_that_were_not_scored_are_in_no_zone() -> None:
    selector = measured()
    known = {"p/0": 0.5, "p/9": 0.5, "p/19": 0.5, "elsewhere": 0.5}
    selector.receive(1, known)
    assert selector.metrics()["select/zone_size"] == 1, "a share of what was scored"
    assert set(numbers(selector.select(3))) == {0, 9, 19}
    assert selector.reasons().keys() == known.keys() - {"elsewhere"}


def test_new_certainties_move_the_zone_and_none_leave_it() -> None:
    selector = measured()
    selector.receive(4, {})
    assert sorted(numbers(selector.select(4))) == [8, 9, 10, 11]
    selector.receive(7, {name: value**4 for name, value in CERTAINTY.items()})
    assert sorted(numbers(selector.select(4))) == [11, 12, 13, 14]


def test_metrics_and_reasons() -> None:
    selector = measured()
    assert selector.metrics() == {
        "select/certainty_mean": pytest.approx(0.475),
        "select/zone_low": 0.4,
        "select/zone_high": 0.55,
        "select/zone_size": 4,
    }
    reasons = selector.reasons()
    assert [name for name, reasons in reasons.items() if reasons["selected"]] == ["p/8", "p/9", "p/10", "p/11"]
    assert reasons["p/0"] == {"certainty": 0.0, "score": pytest.approx(1 - 0.475**2), "selected": False}
    unknown = UfoSelector(pool(20), 1)
    assert unknown.metrics() == unknown.reasons() == {}


def test_a_resume_goes_on_within_the_epoch_and_does_not_score_again() -> None:
    selector = measured(rescore_every=5)
    selector.select(3)
    saved = json.loads(json.dumps(selector.state()))
    resumed = UfoSelector(pool(20), 1, ratio=0.2, rescore_every=5)
    resumed.restore(saved)
    assert resumed.request(5) is None and resumed.request(6) is not None
    assert [resumed.select(3) for _ in range(4)] == [selector.select(3) for _ in range(4)]
    assert resumed.reasons() == selector.reasons()
    with pytest.raises(ValueError, match="another data source"):
        UfoSelector(pool(5), 1).restore(saved)


def test_each_source_of_a_mix_has_a_zone_of_its_own() -> None:
    prompts = pool(40)
    selector = mixed(
        [(1.0, prompts[:20]), (1.0, prompts[20:])], 1, lambda part, seed, _: UfoSelector(part, seed, ratio=0.1)
    )
    request = selector.request(1)  # type: ignore[attr-defined]
    assert numbers(request.prompts) == list(range(40))
    selector.receive(1, {prompt.id: number / 40 for number, prompt in enumerate(prompts)})  # type: ignore[attr-defined]
    assert sorted(numbers(selector.select(4))) == [9, 10, 29, 30]
    assert len(selector.reasons()) == 40  # type: ignore[attr-defined]
