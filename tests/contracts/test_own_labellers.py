"""The project's own labellers fulfil the contract, and two of a user's."""

from typing import Any

from reads import Blind

from effrl.config.schema import Config
from effrl.label import build
from effrl.protocols import Labeller
from examples.own_labeller import BuyDoubt
from tests.contracts.labeller import LabellerContract
from tests.plugins.label_plugins import BelowMean


def config(**label: Any) -> Config:
    return Config.model_validate(
        {"data": {"train": "tasks:chain"}, "label": label, "rollout": {"refill": 0, "per_prompt": 4}}
    )


class TestGold(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        return build.labeller(config(kind="gold"), oracle, Blind())


class TestVote(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        return build.labeller(config(kind="vote"), oracle, Blind())


class TestRandomWithVotes(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        return build.labeller(config(kind="random", rest="vote", budget={"per_step": 0.3}), oracle, Blind())


class TestRandomAlone(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        return build.labeller(config(kind="random", rest="drop", budget={"per_step": 0.3}), oracle, Blind())


class TestCare(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        return build.labeller(config(kind="care", rest={"kind": "gate", "warmup": 0}), oracle, Blind())


class TestFixed(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        return build.labeller(config(buy={"kind": "fixed", "share": 0.5}, budget={"per_step": 0.3}), oracle, Blind())


class TestTrapo(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        label = config(buy="random", rest={"kind": "trapo", "warmup": 1}, budget={"per_step": 0.3})
        return build.labeller(label, oracle, Blind())


class TestEmpo(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        return build.labeller(config(kind="empo"), oracle, Blind())


class TestRestrain(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        made = Config.model_validate(
            {"data": {"train": "tasks:chain"}, "label": {"kind": "restrain"}, "advantage": {"std": "none"}}
        )
        return build.labeller(made, oracle, Blind())


class TestBuyDoubt(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        return BuyDoubt(config(), oracle)


class TestBelowMean(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        return BelowMean(config(), oracle)
