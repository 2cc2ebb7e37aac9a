"""``label``: what supervises each group, and what may be spent on it."""

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from effrl.config.section import ImportPath, PositiveInt, Section, Share
from effrl.config.section import kind_or as _kind


class Budget(Section):
    total: PositiveInt | None = None
    """Labels that the run may buy in all; no limit by default."""


class DatasetOracle(Section):
    kind: Literal["dataset"] = "dataset"
    """Labels come from the data source's own label column."""


class GoldLabel(Section):
    kind: Literal["gold"] = "gold"
    """Buy the true label of every group."""
    budget: Budget = Budget()
    oracle: DatasetOracle = DatasetOracle()


class StepBudget(Budget):
    per_step: Share = 0.2
    """Labels that a step may buy, as a share of its prompts; fractions add up over the steps (CARE's p)."""


class VoteLabel(Section):
    kind: Literal["vote"] = "vote"
    """Majority votes of a group's own rollouts instead of labels (TTRL, arXiv 2504.16084): nothing is bought."""
    budget: Budget = Budget()
    oracle: DatasetOracle = DatasetOracle()


class RandomLabel(Section):
    kind: Literal["random"] = "random"
    """Buy the labels of groups chosen at random: what active labelling must beat."""
    rest: Literal["vote", "drop"] = "vote"
    """Groups without a label are supervised by their majority vote, or dropped."""
    budget: StepBudget = StepBudget()
    oracle: DatasetOracle = DatasetOracle()


class PluginLabel(Section):
    kind: ImportPath
    """Import path of your own labeller (see :class:`effrl.protocols.Labeller`)."""
    budget: StepBudget = StepBudget()
    oracle: DatasetOracle = DatasetOracle()


AnyLabel = Annotated[
    Annotated[GoldLabel, Tag("gold")]
    | Annotated[VoteLabel, Tag("vote")]
    | Annotated[RandomLabel, Tag("random")]
    | Annotated[PluginLabel, Tag("plugin")],
    Discriminator(_kind("gold")),
]
