"""The project's own labellers fulfil the contract, and two of a user's."""

from typing import Any

from reads import Blind

from effrl.config.schema import Config
from effrl.label import build
from effrl.label.active import ActiveLabeller
from effrl.label.easyrl.items import PseudoLabel
from effrl.label.easyrl.labeller import PseudoLabeller, Waiting
from effrl.label.rest.trapo import TrapoFilter
from effrl.protocols import Labeller
from examples.own_labeller import BuyDoubt
from tests.contracts.labeller import Counter, LabellerContract, groups_of
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
    """Prompts have a past; in five steps none would have one that is long enough."""

    def labeller(self, oracle: Any) -> Labeller:
        label = config(buy="random", rest={"kind": "trapo", "warmup": 1}, budget={"per_step": 0.3})
        made = build.labeller(label, oracle, Blind())
        assert isinstance(made, ActiveLabeller) and isinstance(made.filter, TrapoFilter)
        made.filter.labelled = {"known": [0.25, 0.5, 0.5, 0.75]}
        made.filter.voted = {read.group.prompt.id: past(n) for step in (1, 2) for n, read in enumerate(groups_of(step))}
        return made

    async def test_some_votes_train_and_others_do_not(self) -> None:
        decisions = [entry for step in await self.run(self.labeller(Counter(budget=2)), (1, 2, 3)) for entry in step]
        assert {"vote", None} < {supervision and supervision.source for _, _, supervision, _ in decisions}


def past(number: int) -> list[float]:
    """Four pass rates, which rise, fall, stay or waver."""
    return [[0.25, 0.5, 0.5, 0.75], [0.75, 0.5, 0.25, 0.0], [0.5] * 4, [0.5, 0.75, 0.25, 0.5]][number % 4]


class TestEmpo(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        return build.labeller(config(kind="empo"), oracle, Blind())


class TestRestrain(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        made = Config.model_validate(
            {"data": {"train": "tasks:chain"}, "label": {"kind": "restrain"}, "advantage": {"std": "none"}}
        )
        return build.labeller(made, oracle, Blind())


class TestPseudo(LabellerContract):
    """Over a labeller that learns and buys; each sort of prompt occurs in every step."""

    def labeller(self, oracle: Any) -> Labeller:
        label = config(buy="random", rest={"kind": "trapo", "warmup": 1}, budget={"per_step": 0.3})
        others = build.labeller(label, oracle, Blind())
        names = [read.group.prompt.id for step in (1, 2) for read in groups_of(step)]
        labels = {name: PseudoLabel("1", "reflected", 0.5, 0.1) for name in names if int(name[-1]) in (1, 4, 5)}
        return PseudoLabeller(oracle, [name for name in names if int(name[-1]) in (0, 3)], labels, others)

    async def test_all_sorts_of_supervision_occur(self) -> None:
        decisions = [entry for step in await self.run(self.labeller(Counter()), (1, 2)) for entry in step]
        assert {supervision.source for _, _, supervision, _ in decisions if supervision} >= {
            "gold",
            "reflected",
            "bought",
        }


class TestPseudoAlone(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        labels = {"p1/01": PseudoLabel("1", "consistent", 1.0)}
        return PseudoLabeller(oracle, ["p0/00", "p1/00"], labels, Waiting())


class TestBuyDoubt(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        return BuyDoubt(config(), oracle)


class TestBelowMean(LabellerContract):
    def labeller(self, oracle: Any) -> Labeller:
        return BelowMean(config(), oracle)
