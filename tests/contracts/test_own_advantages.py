"""The project's own advantages, and a user's, fulfil the contract."""

from effrl.advantage.build import advantages
from effrl.batch import AdvantageFunction
from effrl.config.advantage import (
    GaeAdvantage,
    GrpoAdvantage,
    PrimeAdvantage,
    PureAdvantage,
    ReinforceAdvantage,
    ReinforcePpAdvantage,
    RlooAdvantage,
)
from tests.contracts.advantage import AdvantageContract
from tests.plugins.advantages import best_of_step, rewards_to_come


class TestGrpo(AdvantageContract):
    def make(self) -> AdvantageFunction:
        return advantages(GrpoAdvantage())


class TestDrGrpo(AdvantageContract):
    def make(self) -> AdvantageFunction:
        return advantages(GrpoAdvantage(std="none"))


class TestRloo(AdvantageContract):
    def make(self) -> AdvantageFunction:
        return advantages(RlooAdvantage())


class TestReinforcePp(AdvantageContract):
    def make(self) -> AdvantageFunction:
        return advantages(ReinforcePpAdvantage())


class TestReinforce(AdvantageContract):
    def make(self) -> AdvantageFunction:
        return advantages(ReinforceAdvantage())


class TestPrime(AdvantageContract):
    def make(self) -> AdvantageFunction:
        return advantages(PrimeAdvantage())


class TestPure(AdvantageContract):
    def make(self) -> AdvantageFunction:
        return advantages(PureAdvantage(block=2))


class TestRewardsForGae(AdvantageContract):
    def make(self) -> AdvantageFunction:
        return advantages(GaeAdvantage())


class TestBestOfStep(AdvantageContract):
    def make(self) -> AdvantageFunction:
        return best_of_step  # type: ignore[no-any-return]


class TestRewardsToCome(AdvantageContract):
    process = (True,)

    def make(self) -> AdvantageFunction:
        return rewards_to_come  # type: ignore[no-any-return]
