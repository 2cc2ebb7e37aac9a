"""The project's own losses, and a user's, fulfil the contract."""

from functools import partial

import pytest

from effrl.loss.cispo import cispo
from effrl.loss.clipped import clipped
from effrl.loss.gspo import gspo
from effrl.loss.tokens import PolicyLoss
from tests.contracts.loss import PolicyLossContract
from tests.plugins.losses import couples_rows, reinforce


class TestClipped(PolicyLossContract):
    def make(self) -> PolicyLoss:
        return partial(clipped, clip_low=0.2, clip_high=0.28)


class TestGspo(PolicyLossContract):
    def make(self) -> PolicyLoss:
        return partial(gspo, clip_low=0.05, clip_high=0.05)


class TestCispo(PolicyLossContract):
    def make(self) -> PolicyLoss:
        return partial(cispo, clip_low=1.0, clip_high=0.1)


class TestReinforce(PolicyLossContract):
    def make(self) -> PolicyLoss:
        return reinforce


def test_the_contract_finds_a_loss_that_depends_on_the_cut() -> None:
    contract = PolicyLossContract()
    contract.make = lambda: couples_rows  # type: ignore[method-assign]
    with pytest.raises(AssertionError):
        contract.test_a_row_is_the_same_in_any_micro_batch((0,))
