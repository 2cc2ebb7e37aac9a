"""What every :class:`effrl.protocols.Reward` must do. To check your own, subclass and say what it is::

from tests.contracts.reward import RewardContract

class TestMyReward(RewardContract):
    right, wrong = ("the answer is 46", "46"), ("the answer is 45", "46")

    def make(self):
        return my_reward
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from effrl.protocols import Reward, Verdict
from effrl.types import Status


class RewardContract:
    """The contract; pytest does not collect this class itself, only what inherits from it."""

    right: tuple[str, str | None]
    """A completion that deserves more than ``wrong``, and its label."""
    wrong: tuple[str, str | None]
    meta: Mapping[str, Any] = MappingProxyType({})

    def make(self) -> Reward:
        """The reward function."""
        raise NotImplementedError

    def judge(self, completion: str, label: str | None) -> Verdict:
        found = self.make()(completion, label, self.meta)
        return found if isinstance(found, Verdict) else Verdict(float(found))

    def test_right_is_worth_more_than_wrong(self) -> None:
        assert self.judge(*self.right).outcome > self.judge(*self.wrong).outcome

    def test_outcomes_are_shares(self) -> None:
        for completion, label in (self.right, self.wrong, ("", self.right[1])):
            assert 0 <= self.judge(completion, label).outcome <= 1

    def test_nothing_is_not_right(self) -> None:
        """A truncated or empty completion is scored 0, and does not raise: what raises is left out of its group."""
        assert self.judge("", self.right[1]).outcome < self.judge(*self.right).outcome

    def test_the_same_completion_has_the_same_verdict(self) -> None:
        assert self.judge(*self.right) == self.judge(*self.right)

    def test_it_scores(self) -> None:
        """A failure is raised, not returned: the sandbox tells a verifier's failure from a wrong answer."""
        assert self.judge(*self.right).status in (Status.OK, Status.UNPARSEABLE, Status.TRUNCATED)

    def test_what_was_answered_is_a_text_of_the_completion(self) -> None:
        answer = self.judge(*self.right).answer
        if answer is None:
            pytest.skip("tells no answers")
        assert answer.strip(), "an answer that is empty would be voted on"
