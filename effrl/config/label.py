"""``label``: what supervises each group, and what may be spent on it."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from effrl.config.buy import DIAGNOSTIC, AnyBuy, CareBuy, OracleCagBuy, ProbeConfig
from effrl.config.label_base import LabelConfig, StepBudget
from effrl.config.label_free import EmpoLabel, RestrainLabel, VoteLabel
from effrl.config.rest import AnyRest, DropRest, GateRest
from effrl.config.section import ImportPath, kind_or


class GoldLabel(LabelConfig):
    kind: Literal["gold"] = "gold"
    """Buy the true label of every group."""

    @property
    def buys_all(self) -> bool:
        return True


class RandomLabel(LabelConfig):
    kind: Literal["random"] = "random"
    """Buy the labels of groups chosen at random: what active labelling must beat."""
    rest: Literal["vote", "drop"] = "vote"
    """Groups without a label are supervised by their majority vote, or dropped."""
    budget: StepBudget = StepBudget()

    @property
    def votes(self) -> bool:
        return self.rest == "vote"


class ActiveLabel(LabelConfig):
    """A buyer times a filter: which labels are bought, and what becomes of the groups without one."""

    kind: Literal["active"] = "active"
    """Goes without saying where ``buy`` stands; ``kind: care`` is short for the paper's pair, care and gate."""
    buy: AnyBuy = CareBuy()
    """Who is bought: the groups with the highest score, ceil(per_step x groups) of them in each step."""
    rest: AnyRest = DropRest()
    """What becomes of the groups whose label is not bought."""
    budget: StepBudget = StepBudget()
    charge: Literal["once", "per_visit"] = "once"
    """Pay for a prompt once, which then is supervised by its label whenever it comes; or whenever its group is chosen,
    as the released code of CARE does."""
    probes: ProbeConfig = ProbeConfig()
    """The small networks of ``care`` and ``gate``, and how they are trained."""

    @property
    def votes(self) -> bool:
        return not isinstance(self.rest, DropRest)

    @property
    def caution(self) -> str | None:
        return DIAGNOSTIC if isinstance(self.buy, OracleCagBuy) else None

    @property
    def reads_clusters(self) -> bool:
        return True

    @property
    def equal_groups(self) -> bool:
        return isinstance(self.buy, CareBuy) or isinstance(self.rest, GateRest)

    @property
    def pays_per_visit(self) -> bool:
        return self.charge == "per_visit"

    @model_validator(mode="after")
    def _gaps_are_known(self) -> "ActiveLabel":
        if not isinstance(self.rest, GateRest) or self.rest.soft == 1:
            return self
        weighs = f"label.rest.soft ({self.rest.soft}) weighs a group by the gap that label.buy.kind=care expects of it"
        if not isinstance(self.buy, CareBuy):
            raise ValueError(f"{weighs}, and {self.buy.kind} expects none: leave soft out")
        if self.buy.warmup > self.rest.warmup:
            raise ValueError(f"{weighs}, after {self.buy.warmup} steps: label.rest.warmup must be as long")
        return self


class PluginLabel(LabelConfig):
    kind: ImportPath
    """Import path of your own labeller (see :class:`effrl.protocols.Labeller`)."""
    budget: StepBudget = StepBudget()

    @property
    def reads_clusters(self) -> bool:
        return True


def _paired(value: Any) -> Any:
    """``kind: care`` written out: what it is short for."""
    if not isinstance(value, dict) or value.get("kind") != "care":
        return value
    given = {name: part for name, part in value.items() if name != "kind"}
    return {"kind": "active", "buy": {"kind": "care"}, "rest": {"kind": "gate"}, **given}


def _kind(value: Any) -> str:
    """The tag of a label section: ``buy`` needs no kind."""
    return kind_or("active" if isinstance(value, dict) and "buy" in value else "gold")(value)


AnyLabel = Annotated[
    Annotated[GoldLabel, Tag("gold")]
    | Annotated[VoteLabel, Tag("vote")]
    | Annotated[EmpoLabel, Tag("empo")]
    | Annotated[RestrainLabel, Tag("restrain")]
    | Annotated[RandomLabel, Tag("random")]
    | Annotated[ActiveLabel, Tag("active")]
    | Annotated[PluginLabel, Tag("plugin")],
    Discriminator(_kind),
    BeforeValidator(_paired),
]
