"""Quotas, the gate, and a zone under control."""

import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.select.control import CLOSED, CONTROL_SHARE, ZONE_SHARE, ControlledSelector
from effrl.select.gate import REST, Gate
from effrl.select.pool import PoolSelector
from effrl.select.strata import strata, within_quotas
from effrl.types import Observation, Prompt

POOL = tuple(Prompt(f"p/{number}", "x" * (1 + number % 30), {"level": number % 2}) for number in range(120))


class Tenth(PoolSelector):
    """Draws the first twelve prompts in turn, once it is ready."""

    def __init__(self, prompts: Sequence[Prompt], seed: int = 1) -> None:
        super().__init__(prompts, seed)
        self.ready, self.turn, self.renewed = True, 0, 0

    def renew(self) -> None:
        self.renewed += 1

    def draw(self, count: int) -> list[int]:
        self.turn += count
        return [(self.turn + place) % 12 for place in range(min(count, 12))] + [*range(12, count)]

    def observe(self, seen: Sequence[Observation]) -> None:
        pass

    def state(self) -> dict[str, int]:
        return {"turn": self.turn}

    def restore(self, state: dict[str, int]) -> None:
        self.turn = state["turn"]


def run(selector: ControlledSelector, steps: int, signal, count: int = 8) -> list[list[Prompt]]:
    """Steps of a run; ``signal`` says whether a prompt's group has any."""
    drawn = []
    for _ in range(steps):
        drawn.append(selector.select(count))
        selector.observe([Observation(prompt, 4.0 if signal(prompt) else 8.0, 8) for prompt in drawn[-1]])
    return drawn


def in_zone(prompt: Prompt) -> bool:
    return int(prompt.id[2:]) < 12


def test_a_quarter_of_the_draws_is_uniform() -> None:
    drawn = run(ControlledSelector(POOL, 1, Tenth(POOL), 0.25), 4, in_zone)
    assert [sum(map(in_zone, step)) for step in drawn] == [6] * 4
    assert all(len({prompt.id for prompt in step}) == 8 for step in drawn)


def test_the_share_holds_over_small_calls() -> None:
    selector = ControlledSelector(POOL, 1, Tenth(POOL), 0.25)
    outside = [prompt for _ in range(40) for prompt in selector.select(1) if not in_zone(prompt)]
    assert len(outside) in range(8, 11)  # ten uniform draws, of which a few may be of the zone's twelve


def test_uniform_draws_pass_over_the_zone_and_come_back_to_what_they_passed() -> None:
    selector = ControlledSelector(POOL[:14], 1, Tenth(POOL[:14]), 0.5)
    seen = Counter(prompt.id for step in run(selector, 20, in_zone, 4) for prompt in step)
    assert len(seen) == 14


def test_until_the_zone_is_ready_all_draws_are_uniform() -> None:
    zone = Tenth(POOL)
    zone.ready = False
    selector = ControlledSelector(POOL, 1, zone, 0.25)
    assert {prompt.id for step in run(selector, 15, in_zone) for prompt in step} == {prompt.id for prompt in POOL}
    assert zone.turn == 0


def test_a_zone_that_is_no_better_is_closed_and_tried_again() -> None:
    zone = Tenth(POOL)
    selector = ControlledSelector(POOL, 1, zone, 0.5)
    drawn = run(selector, 60, lambda prompt: not in_zone(prompt))
    inside = [sum(map(in_zone, step)) for step in drawn]
    first = next(step for step, count in enumerate(inside) if count < 4)
    assert first == 8, "32 groups of the zone at four a step"
    assert all(count < 4 for count in inside[first : first + REST])
    assert inside[first + REST] >= 4 and zone.renewed >= 1
    assert selector.metrics()[CONTROL_SHARE] > 0.5


def test_a_zone_that_pays_stays_open() -> None:
    selector = ControlledSelector(POOL, 1, Tenth(POOL), 0.25)
    run(selector, 40, in_zone)
    told = selector.metrics()
    assert told[CLOSED] == 0 and told[ZONE_SHARE] == 1 and told[CONTROL_SHARE] < 0.4


def test_without_control_the_zone_is_always_used() -> None:
    selector = ControlledSelector(POOL, 1, Tenth(POOL), 0.0)
    drawn = run(selector, 40, lambda prompt: not in_zone(prompt))
    assert all(map(in_zone, (prompt for step in drawn for prompt in step)))
    assert selector.metrics() == {}


def test_it_goes_on_from_a_saved_state() -> None:
    one = ControlledSelector(POOL, 1, Tenth(POOL), 0.25)
    run(one, 13, lambda prompt: not in_zone(prompt))
    saved = json.loads(json.dumps(one.state()))
    other = ControlledSelector(POOL, 1, Tenth(POOL), 0.25)
    other.restore(saved)
    assert run(other, 20, in_zone) == run(one, 20, in_zone)
    assert other.state() == one.state()


def test_the_gate_rests_twice_as_long_each_time() -> None:
    gate = Gate()
    opened = [gate.observe([False] * 32 if gate.is_open else [], [True] * 16) for _ in range(60)]
    trials = [step for step, again in enumerate(opened) if again]
    assert np.diff([0, *trials]).tolist()[:3] == [REST, 1 + 2 * REST, 1 + 4 * REST]


def test_the_gate_needs_enough_of_both() -> None:
    gate = Gate()
    gate.observe([False] * 31, [True] * 100)
    assert gate.is_open
    gate.observe([False], [])
    assert not gate.is_open
    fresh = Gate()
    fresh.observe([False] * 100, [True] * 15)
    assert fresh.is_open


def test_the_error_of_the_gain() -> None:
    gate = Gate()
    gate.observe([True] * 24 + [False] * 8, [True] * 8 + [False] * 8)
    assert gate.gain == pytest.approx(0.25)
    assert gate.error == pytest.approx((0.75 * 0.25 / 32 + 0.25 / 16) ** 0.5)


def test_strata_are_levels_and_thirds_by_length() -> None:
    found = strata([Prompt(str(n), "x" * n, {"level": n % 2}) for n in range(1, 13)])
    assert len(set(found.tolist())) == 6
    assert Counter(found.tolist()).most_common()[0][1] == 2
    assert len(set(strata([Prompt(str(n), "same") for n in range(5)]).tolist())) == 1


@given(
    of=st.lists(st.integers(0, 3), min_size=1, max_size=40),
    seed=st.integers(0, 99),
    quota=st.floats(0.5, 4),
    data=st.data(),
)
def test_quotas(of: list[int], seed: int, quota: float, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(of)))
    order = np.random.default_rng(seed).permutation(len(of)).tolist()
    parts = np.array(of)
    chosen = within_quotas(order, parts, count, quota)
    assert len(chosen) == len(set(chosen)) == count
    assert within_quotas(order, parts, count, None) == order[:count]
    room = {part: np.ceil(quota * count * of.count(part) / len(of) - 1e-9) for part in of}
    taken = Counter(of[index] for index in chosen)
    if sum(min(room[part], of.count(part)) for part in set(of)) >= count:
        assert all(taken[part] <= room[part] for part in taken)
