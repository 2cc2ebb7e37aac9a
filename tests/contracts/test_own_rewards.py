"""Rewards and process rewards, the project's own and a user's, fulfil their contracts."""

import pytest

from effrl.config.reward import MathVerifier
from effrl.config.schema import Config
from effrl.process.none import NoProcess
from effrl.protocols import ProcessRewards, Reward
from effrl.reward.verifiers import load
from examples.own_reward import nearly
from tests.contracts.process_rewards import ProcessRewardsContract
from tests.contracts.reward import RewardContract
from tests.plugins.process_rewards import CommonTokens


class TestMath(RewardContract):
    right, wrong = ("so \\boxed{46}", "46"), ("so \\boxed{45}", "46")

    def make(self) -> Reward:
        return load(MathVerifier())


class TestNearly(RewardContract):
    right, wrong = ("12+34=46;#46", "46"), ("12+34=44;#44", "46")

    def make(self) -> Reward:
        return nearly


@pytest.mark.parametrize(("completion", "outcome"), [("#46", 1.0), ("#45", 0.5), ("#44", 0.0), ("", 0.0)])
def test_nearly_by_hand(completion: str, outcome: float) -> None:
    assert nearly(completion, "46", {}).outcome == outcome


class TestNoProcess(ProcessRewardsContract):
    def make(self) -> ProcessRewards:
        return NoProcess()


class TestCommonTokens(ProcessRewardsContract):
    def make(self) -> ProcessRewards:
        return CommonTokens(Config.model_validate({"data": {"train": "tasks:chain"}}))
