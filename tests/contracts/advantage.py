"""What every :data:`effrl.batch.AdvantageFunction` must do. To check your own, subclass and say what it is::

from tests.contracts.advantage import AdvantageContract

class TestMyAdvantage(AdvantageContract):
    def make(self):
        return my_advantages
"""

from collections.abc import Sequence

import numpy as np
import pytest

from effrl.batch import AdvantageFunction
from effrl.sequences import GroupRewards, TokenRewards
from effrl.types import Float32

STEPS = {
    "one group": ([1, 0],),
    "groups of any size": ([1, 0, 0], [0.5, 0.25], [0, 1, 1, 0, 1]),
    "equal rewards": ([1, 1, 1], [0, 0]),
    "rewards with terms": ([-0.5, 1.5, 0.3], [1, -1]),
}


def group(outcomes: Sequence[float], process: bool) -> GroupRewards:
    """Rollouts of one, two, three, … tokens."""
    lengths = tuple(range(1, len(outcomes) + 1))
    tokens = tuple(TokenRewards(np.linspace(-1, 1, length, dtype=np.float32)) for length in lengths)
    return GroupRewards(np.array(outcomes, np.float32), lengths, tokens if process else None)


class AdvantageContract:
    """The contract; pytest does not collect this class itself, only what inherits from it."""

    process: tuple[bool, ...] = (False, True)
    """With and without process rewards; an estimator that needs them has ``(True,)``."""

    def make(self) -> AdvantageFunction:
        """The advantage function."""
        raise NotImplementedError

    def estimate(self, step: Sequence[GroupRewards]) -> list[list[Float32]]:
        return [[np.atleast_1d(np.asarray(row, np.float32)) for row in rows] for rows in self.make()(step)]

    @pytest.mark.parametrize("name", STEPS)
    def test_each_rollout_has_one_number_or_one_per_token(self, name: str) -> None:
        for process in self.process:
            step = [group(outcomes, process) for outcomes in STEPS[name]]
            found = self.estimate(step)
            assert [len(rows) for rows in found] == [len(each.lengths) for each in step]
            for rows, each in zip(found, step, strict=True):
                for row, length in zip(rows, each.lengths, strict=True):
                    assert row.shape in ((1,), (length,)) and np.isfinite(row).all()

    def test_the_same_rewards_have_the_same_advantages(self) -> None:
        for process in self.process:
            one, other = (self.estimate([group([1, 0, 0], process)]) for _ in range(2))
            assert [row.tolist() for row in one[0]] == [row.tolist() for row in other[0]]

    def test_it_leaves_its_input_as_it_is(self) -> None:
        for process in self.process:
            given, kept = group([1, 0, 0], process), group([1, 0, 0], process)
            self.estimate([given])
            assert given.outcome.tolist() == kept.outcome.tolist()
            assert [row.values.tolist() for row in given.tokens or ()] == [
                row.values.tolist() for row in kept.tokens or ()
            ]

    def test_the_order_of_groups_does_not_matter(self) -> None:
        for process in self.process:
            step = [group(outcomes, process) for outcomes in STEPS["groups of any size"]]
            forwards, backwards = self.estimate(step), self.estimate(step[::-1])[::-1]
            for one, other in zip(forwards, backwards, strict=True):
                assert all(np.allclose(row, same, atol=1e-6) for row, same in zip(one, other, strict=True))
