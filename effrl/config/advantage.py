"""``advantage``: from the rewards of a group to the advantages of its tokens."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from effrl.config.section import ImportPath, PositiveFloat, PositiveInt, Section, Share
from effrl.config.section import kind_or as _kind

NotNegative = Annotated[float, Field(ge=0)]


class AdvantageConfig(Section):
    """What other parts need to know of every estimator."""

    @property
    def needs_contrast(self) -> bool:
        """Whether a group whose rewards are all equal teaches nothing."""
        return True

    @property
    def needs_process(self) -> bool:
        """Whether it is about process rewards, and without them something else."""
        return False

    @property
    def scales(self) -> bool:
        """Whether it divides advantages by a standard deviation."""
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

    @property
    def scales(self) -> bool:
        return self.std == "sample"


class ReinforceAdvantage(AdvantageConfig):
    kind: Literal["reinforce"] = "reinforce"
    """The reward itself, without any baseline (Williams 1992); every group is learned from."""

    @property
    def needs_contrast(self) -> bool:
        return False


class RlooAdvantage(AdvantageConfig):
    kind: Literal["rloo"] = "rloo"
    """Reward minus the mean of the group's other rewards (REINFORCE leave-one-out, arXiv 2402.14740)."""


class ReinforcePpAdvantage(AdvantageConfig):
    kind: Literal["reinforce_pp"] = "reinforce_pp"
    """Reward minus the group's mean, by one standard deviation for the whole step (arXiv 2501.03262, with baseline)."""

    @property
    def scales(self) -> bool:
        return True


class PrimeAdvantage(AdvantageConfig):
    kind: Literal["prime"] = "prime"
    """Outcome and process rewards, each less the mean of the group's others (PRIME, arXiv 2502.01456, section 3.2)."""
    outcome: NotNegative = 1.0
    """Weight of the outcome."""
    process: NotNegative = 1.0
    """Weight of the process rewards."""
    gamma_outcome: Share = 1.0
    """Discount of the outcome, which is known at the last token."""
    gamma: Share = 1.0
    """Discount of the process rewards to come."""
    form: Literal["paper", "code"] = "paper"
    """A token's reward less the others' mean, or what the release computes: contrasts within a rollout of a group of K
    are K / (K - 1) times as large."""
    whiten: bool = True
    """Give the advantages of a step mean 0 and variance 1 over all of its tokens, as the release does."""

    @property
    def needs_process(self) -> bool:
        return True

    @property
    def scales(self) -> bool:
        return self.whiten


class PureAdvantage(AdvantageConfig):
    kind: Literal["pure"] = "pure"
    """A solution is worth as much as its worst step (PURE, arXiv 2504.15275, section 3)."""
    temperature: PositiveFloat = 0.1
    """Of the soft minimum over the steps, whose rewards lie within -1 and 1."""
    baseline: Literal["token", "step"] = "token"
    """What is taken off: the others' value per token or per step; the latter rewards few and long steps."""
    outcome: NotNegative = 1.0
    """Weight of the outcome."""
    steps: Literal["block", "ends"] = "block"
    """Steps are blocks of tokens, for rewards of single tokens; or end where the process rewards say."""
    block: PositiveInt = 64
    """Tokens of a block."""
    whiten: bool = True
    """Give the advantages of a step mean 0 and variance 1 over all tokens but those at which a step ends."""

    @property
    def needs_process(self) -> bool:
        return True

    @property
    def scales(self) -> bool:
        return self.whiten


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
    def scales(self) -> bool:
        return True

    @property
    def value_function(self) -> "GaeAdvantage":
        return self


class PluginAdvantage(AdvantageConfig):
    kind: ImportPath
    """Import path of your own advantage function (see :data:`effrl.batch.AdvantageFunction`)."""


AnyAdvantage = Annotated[
    Annotated[GrpoAdvantage, Tag("grpo")]
    | Annotated[RlooAdvantage, Tag("rloo")]
    | Annotated[ReinforcePpAdvantage, Tag("reinforce_pp")]
    | Annotated[ReinforceAdvantage, Tag("reinforce")]
    | Annotated[PrimeAdvantage, Tag("prime")]
    | Annotated[PureAdvantage, Tag("pure")]
    | Annotated[GaeAdvantage, Tag("gae")]
    | Annotated[PluginAdvantage, Tag("plugin")],
    Discriminator(_kind("grpo")),
]
