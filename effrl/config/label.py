"""``label``: what supervises each group, and what may be spent on it."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag, model_validator

from effrl.config.buy import AnyBuy, CareBuy, ProbeConfig
from effrl.config.rest import AnyRest, DropRest, GateRest
from effrl.config.section import ImportPath, PositiveInt, Section, Share, expanded, kind_or


def _absolute(address: str) -> str:
    """The same file wherever a resume starts."""
    if "://" not in address:
        return str(Path(expanded(address)).absolute())
    if not address.startswith("sqlite:////"):
        raise ValueError(f"{address}: a ledger is an SQLite file; write its path, or sqlite:////path/to/ledger.sqlite")
    return address


class Budget(Section):
    total: PositiveInt | None = None
    """Labels that the run may buy in all; no limit by default."""


class DatasetOracle(Section):
    kind: Literal["dataset"] = "dataset"
    """Labels come from the data source's own label column."""


class StepBudget(Budget):
    per_step: Share = 0.2
    """Labels that a step may buy, as a share of its prompts; fractions add up over the steps (CARE's p)."""


class LabelConfig(Section):
    """What every labeller has, and what other parts need to know of it."""

    budget: Budget = Budget()
    oracle: DatasetOracle = DatasetOracle()
    ledger: Annotated[str, AfterValidator(_absolute)] | None = None
    """File for what was bought, on a local disk of the driver's machine; ``ledger.sqlite`` in the run directory by
    default. Needed where the run directory is on a network drive, on which SQLite cannot write safely."""

    @property
    def buys(self) -> bool:
        """Whether true labels are bought at all: then the data must have some."""
        return True

    @property
    def buys_all(self) -> bool:
        """Whether the label of every group is bought: then prompts without one are no use."""
        return False

    @property
    def votes(self) -> bool:
        """Whether groups may be supervised by the majority of their own answers: then the reward must tell answers."""
        return False

    @property
    def reads_clusters(self) -> bool:
        """Whether the labeller looks at which answers are the same in value; else their texts alone are compared."""
        return self.votes

    @property
    def share_per_step(self) -> float | None:
        """Labels that a step may buy, as a share of its prompts; None where only the total is limited."""
        return self.budget.per_step if isinstance(self.budget, StepBudget) else None


class GoldLabel(LabelConfig):
    kind: Literal["gold"] = "gold"
    """Buy the true label of every group."""

    @property
    def buys_all(self) -> bool:
        return True


class VoteLabel(LabelConfig):
    kind: Literal["vote"] = "vote"
    """Majority votes of a group's own rollouts instead of labels (TTRL, arXiv 2504.16084): nothing is bought."""

    @property
    def buys(self) -> bool:
        return False

    @property
    def votes(self) -> bool:
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
    def reads_clusters(self) -> bool:
        return True

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
    | Annotated[RandomLabel, Tag("random")]
    | Annotated[ActiveLabel, Tag("active")]
    | Annotated[PluginLabel, Tag("plugin")],
    Discriminator(_kind),
    BeforeValidator(_paired),
]
