"""What every :class:`effrl.protocols.Selector` must do. To check your own, subclass and say how to make one::

from tests.contracts.selector import SelectorContract

class TestMySelector(SelectorContract):
    def make(self, prompts, seed):
        return MySelector(prompts, seed)
"""

import json
from collections.abc import Sequence

import pytest

from effrl.protocols import Selector
from effrl.types import Observation, Pick, Prompt

POOL = tuple(Prompt(f"pool/{number}", f"{number}+1=", {"level": number % 3}) for number in range(40))


def prompt_of(chosen: Prompt | Pick) -> Prompt:
    """A selector may return bare prompts, or picks with a number of rollouts of their own."""
    return chosen.prompt if isinstance(chosen, Pick) else chosen


class SelectorContract:
    """The contract; pytest does not collect this class itself, only what inherits from it."""

    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        """A fresh selector over ``prompts``."""
        raise NotImplementedError

    @pytest.mark.parametrize("count", [1, 7, 40])
    def test_returns_as_many_prompts_as_were_asked_for(self, count: int) -> None:
        selector = self.make(POOL, 1)
        assert [len(selector.select(count)) for _ in range(5)] == [count] * 5

    def test_asked_for_nothing_returns_nothing(self) -> None:
        assert list(self.make(POOL, 1).select(0)) == []

    def test_returns_prompts_of_the_pool_unchanged(self) -> None:
        pool = {prompt.id: prompt for prompt in POOL}
        assert all(pool[prompt.id] == prompt for prompt in map(prompt_of, self.make(POOL, 1).select(25)))

    def test_a_number_of_rollouts_makes_a_group(self) -> None:
        picks = [chosen for chosen in self.make(POOL, 1).select(25) if isinstance(chosen, Pick)]
        assert all(pick.rollouts >= 2 for pick in picks), "a group of one has no relative advantage"

    @pytest.mark.parametrize("count", [1, 7, 16, 39, 40])
    def test_never_twice_the_same_prompt_in_one_call(self, count: int) -> None:
        selector = self.make(POOL, 1)
        for _ in range(12):
            assert len({prompt_of(chosen).id for chosen in selector.select(count)}) == count

    def test_a_pool_smaller_than_the_call_still_fills_it(self) -> None:
        assert len(self.make(POOL[:3], 1).select(8)) == 8

    def test_a_pool_of_one(self) -> None:
        assert [prompt_of(chosen).id for chosen in self.make(POOL[:1], 1).select(2)] == ["pool/0"] * 2

    def test_same_seed_same_choice(self) -> None:
        assert self._draw(self.make(POOL, 5), 20) == self._draw(self.make(POOL, 5), 20)

    @pytest.mark.parametrize("calls", [0, 1, 4, 9])
    def test_continues_identically_from_a_saved_state(self, calls: int) -> None:
        selector = self.make(POOL, 1)
        self._draw(selector, calls)
        saved = json.dumps(selector.state())
        expected = self._draw(selector, 20)
        resumed = self.make(POOL, 1)
        resumed.restore(json.loads(saved))
        assert self._draw(resumed, 20) == expected

    @pytest.mark.parametrize("calls", [1, 4, 9])
    def test_continues_identically_with_what_it_observed(self, calls: int) -> None:
        selector = self.make(POOL, 1)
        self._run(selector, calls)
        saved = json.dumps(selector.state())
        expected = self._run(selector, 10)
        resumed = self.make(POOL, 1)
        resumed.restore(json.loads(saved))
        assert self._run(resumed, 10) == expected

    def test_outcomes_of_unknown_prompts_and_of_no_rollouts_are_no_error(self) -> None:
        selector = self.make(POOL, 1)
        selector.observe([Observation(Prompt("elsewhere/1", "?"), 1.0, 8), Observation(POOL[0], 0.0, 0)])
        assert self._draw(selector, 5) == self._draw(self.make(POOL, 1), 5)

    def test_restore_forgets_what_came_after_the_state(self) -> None:
        selector = self.make(POOL, 1)
        self._draw(selector, 3)
        saved = json.dumps(selector.state())
        expected = self._draw(selector, 20)
        selector.restore(json.loads(saved))
        assert self._draw(selector, 20) == expected

    def test_a_state_does_not_change_once_it_is_saved(self) -> None:
        selector = self.make(POOL, 1)
        self._draw(selector, 3)
        state = selector.state()
        before = json.dumps(state)
        self._draw(selector, 10)
        assert json.dumps(state) == before

    def test_reading_the_state_changes_nothing(self) -> None:
        watched, left_alone = self.make(POOL, 1), self.make(POOL, 1)
        for _ in range(10):
            watched.state()
            assert self._draw(watched, 1) == self._draw(left_alone, 1)

    @classmethod
    def _run(cls, selector: Selector, calls: int) -> list[str]:
        """Ids of ``calls`` calls as a run makes them, each observed before the next: levels pass never, half or all."""
        drawn = []
        for _ in range(calls):
            prompts = [prompt_of(chosen) for chosen in selector.select(7)]
            selector.observe([Observation(prompt, 4.0 * prompt.meta["level"], 8) for prompt in prompts])
            drawn += [prompt.id for prompt in prompts]
        return drawn

    @staticmethod
    def _draw(selector: Selector, calls: int) -> list[str]:
        """Ids of ``calls`` calls; 7 does not divide the pool, so that calls cross the end of the pool."""
        return [prompt_of(chosen).id for _ in range(calls) for chosen in selector.select(7)]
