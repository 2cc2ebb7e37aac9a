"""``advantage``: from the rewards of a group to the advantages of its tokens."""

from typing import Annotated, Literal

from pydantic import Discriminator, Tag

from effrl.config.section import ImportPath, PositiveFloat, Section, Share
from effrl.config.section import kind_or as _kind


class AdvantageConfig(Section):
    """What other parts need to know of every estimator."""

    @property
    def needs_contrast(self) -> bool:
        """Whether a group whose rewards are all equal teaches nothing."""
        return True

    @property
    def reads_process(self) -> bool:
        """Whether it looks at process rewards, or at outcomes alone."""
        return False

    @property
    def value_function(self) -> "GaeAdvantage | None":
        """Settings of the value function that it needs; None where it needs none."""
        return None


class GrpoAdvantage(AdvantageConfig):
    kind: Literal["grpo"] = "grpo"
    """Group-relative advantage (GRPO, arXiv 2402.03300, eq. in section 4.1.2)."""
    std: Literal["sample", "none"] = "sample"
    """Divide by the group's sample standard deviation, or not (Dr. GRPO, arXiv 2503.20783)."""


class RlooAdvantage(AdvantageConfig):
    kind: Literal["rloo"] = "rloo"
    """Reward minus the mean of the group's other rewards (REINFORCE leave-one-out, arXiv 2402.14740)."""


class ReinforcePpAdvantage(AdvantageConfig):
    kind: Literal["reinforce_pp"] = "reinforce_pp"
    """Reward minus the group's mean, by one standard deviation for the whole step (arXiv 2501.03262, with baseline)."""


class GaeAdvantage(AdvantageConfig):
    kind: Literal["gae"] = "gae"
    """Generalized advantage estimation (arXiv 1506.02438) over a value head on the policy, as in PPO, for every token.

    The advantages of a step are standardised over all its tokens. Groups whose outcomes are equal are learned from too.
    """
    gamma: Share = 1.0
    """Discount of a token for the one before it."""
    lam: Share = 0.95
    """Trust in returns (1) or in the value function (0)."""
    value_weight: PositiveFloat = 0.1
    """Weight of the value function's loss beside the policy's; its gradient reaches the whole model."""
    value_clip: PositiveFloat = 0.2
    """How far a value may move in a step before its loss is cut (arXiv 2005.12729, section 3)."""

    @property
    def needs_contrast(self) -> bool:
        return False

    @property
    def reads_process(self) -> bool:
        return True

    @property
    def value_function(self) -> "GaeAdvantage":
        return self


class PluginAdvantage(AdvantageConfig):
    kind: ImportPath
    """Import path of your own advantage function (see :data:`effrl.batch.AdvantageFunction`)."""

    @property
    def reads_process(self) -> bool:
        return True


AnyAdvantage = Annotated[
    Annotated[GrpoAdvantage, Tag("grpo")]
    | Annotated[RlooAdvantage, Tag("rloo")]
    | Annotated[ReinforcePpAdvantage, Tag("reinforce_pp")]
    | Annotated[GaeAdvantage, Tag("gae")]
    | Annotated[PluginAdvantage, Tag("plugin")],
    Discriminator(_kind("grpo")),
]
