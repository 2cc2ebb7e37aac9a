"""PREPO: which ranks a step takes, in what order candidates are, and what a refill and a resume go on from."""

import json
from math import inf, nan

import pytest

from effrl.config.schema import Config
from effrl.select.build import selector as selector_of
from effrl.select.mixed import MixedSelector
from effrl.select.perplexity import PerplexitySelector, first_rank, perplexity
from effrl.select.uniform import UniformSelector
from tests.unit.select.pools import numbers, pool

PROGRESS = [(0, 0), (310, 4), (500, 8), (999, 15), (1000, 16), (2000, 16)]


def measured(step: int, size: int = 20, candidates: int = 20, steps: int = 1000) -> PerplexitySelector:
    """One whose prompts' perplexities rise with their number, at a step."""
    selector = PerplexitySelector(pool(size), 1, candidates, steps)
    selector.receive(step, {f"p/{number}": 1.0 + number for number in range(size)})
    return selector


@pytest.mark.parametrize(("step", "first"), PROGRESS)
def test_the_window_moves_from_the_familiar_to_the_strange(step: int, first: int) -> None:
    assert first_rank(step / 1000, 20, 4) == first
    assert numbers(measured(step).select(4)) == [first, first + 1, first + 2, first + 3]


def test_a_share_that_is_whole_is_not_rounded_down() -> None:
    assert 0.29 * 100 < 29 and first_rank(0.29, 104, 4) == 29


def test_perplexity_is_of_the_mean_token() -> None:
    assert perplexity([-1, -2, -3]) == pytest.approx(7.389056)
    assert perplexity([-1, -2, -3] * 5) == pytest.approx(7.389056), "repeated tokens leave it as it is"
    assert perplexity([0.0]) == 1 and perplexity([]) == perplexity([-inf, 0]) == perplexity([-5000.0]) == inf
    with pytest.raises(ValueError, match="not a number"):
        perplexity([-1, nan])


def test_equals_are_in_the_order_of_their_ids_and_what_was_not_found_comes_last() -> None:
    selector = PerplexitySelector(pool(12), 1, 12, 10)
    selector.receive(1, {f"p/{number}": 2.0 for number in range(11)} | {"p/3": 1.5, "elsewhere": 1.0})
    assert numbers(selector.select(12)) == [3, 0, 1, 10, 2, 4, 5, 6, 7, 8, 9, 11]
    assert selector.metrics() == {"select/perplexity_mean": pytest.approx((10 * 2.0 + 1.5) / 11)}


def test_a_text_without_tokens_is_ranked_last_and_is_not_in_the_mean() -> None:
    selector = PerplexitySelector(pool(3), 1, 3, 1)
    selector.receive(1, {"p/0": inf, "p/1": 3.0, "p/2": 1.0})
    assert selector.metrics() == {"select/perplexity_mean": 2.0}
    assert numbers(selector.select(3)) == [2, 1, 0]
    selector.receive(2, {})
    assert selector.metrics() == {} and numbers(selector.select(3)) == [0, 1, 2]


def test_as_many_candidates_as_are_drawn_are_uniform_draws() -> None:
    selector, uniform = PerplexitySelector(pool(30), 1, 7, 10), UniformSelector(pool(30), 1)
    for step in range(1, 11):
        request = selector.request(step)
        assert request is not None
        selector.receive(step, {prompt.id: float(step + prompt.meta["level"]) for prompt in request.prompts})
        assert {*numbers(selector.select(7))} == {*numbers(uniform.select(7))}


def test_a_step_asks_once_about_the_next_prompts_of_the_order() -> None:
    selector, order = PerplexitySelector(pool(30), 1, 10, 10), UniformSelector(pool(30), 1)
    first = selector.request(1)
    assert first is not None and first.what == "perplexity" and first == selector.request(1)
    assert numbers(first.prompts) == numbers(order.select(10))
    selector.receive(1, {})
    assert selector.request(1) is None
    second = selector.request(2)
    assert second is not None and numbers(second.prompts) == numbers(order.select(10)), "none twice in an epoch"


@pytest.mark.parametrize(("step", "refill"), [(0, [4, 5]), (500, [7, 12]), (1000, [14, 15])])
def test_a_refill_goes_on_beside_the_first_draw(step: int, refill: list[int]) -> None:
    selector = measured(step)
    selector.select(4)
    assert numbers(selector.select(2)) == refill
    rest = numbers(selector.select(14))
    assert len({*rest}) == 14 and not {*rest} & {*refill}


def test_what_candidates_do_not_fill_the_order_does() -> None:
    selector = measured(0, size=20, candidates=5)
    drawn = numbers(selector.select(8))
    candidates = numbers(UniformSelector(pool(20), 1).select(8))
    assert drawn == [*sorted(candidates[:5]), *candidates[5:]]


@pytest.mark.parametrize("asked", [False, True])
def test_a_resume_draws_the_same(asked: bool) -> None:
    """Whether a step was asked about or looked at, at the moment of the checkpoint; the state has places, no scores."""
    selector, resumed = measured(3, 40, 10, 10), PerplexitySelector(pool(40), 1, 10, 10)
    selector.select(4)
    if asked:
        selector.request(4)
    saved = json.dumps(selector.state())
    resumed.restore(json.loads(saved))
    assert resumed.request(3) is None and resumed.request(4) == selector.request(4)
    assert numbers(resumed.select(3)) == numbers(selector.select(3)), "a refill"
    for each in (selector, resumed):
        each.receive(4, {f"p/{number}": float(number) for number in range(40)})
    assert numbers(resumed.select(10)) == numbers(selector.select(10))


def test_a_run_has_five_candidates_for_each_prompt_and_a_source_its_share() -> None:
    section = {"data": {"train": "tasks:chain"}, "select": {"kind": "perplexity"}, "rollout": {"prompts": 8}}
    config = Config.model_validate({**section, "run": {"steps": 4}, "replay": {"fresh": 0.5, "warmup": 2}})
    made = selector_of(config, [(1.0, pool(50))], note=print)
    assert isinstance(made, PerplexitySelector)
    request = made.request(1)
    assert request is not None and len(request.prompts) == 20, "with replay a step rolls out four"
    parts = [(3.0, pool(40)), (1.0, [*pool(80)[40:]])]
    mix = selector_of(Config.model_validate(section), parts, note=print)
    assert isinstance(mix, MixedSelector)
    request = mix.request(1)
    assert request is not None and request.what == "perplexity"
    assert [sum(number < 40 for number in numbers(request.prompts)), len(request.prompts)] == [30, 40]
