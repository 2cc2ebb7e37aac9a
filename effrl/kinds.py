"""The sections of a config that come in kinds: select, label, advantage and loss; reward is in ``reward/kinds.py``.

``kind`` names one of ours, or by an import path the user's own. What only one kind needs lives in its own model, with
the paper's value as default and its source in the docstring.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from effrl.section import ImportPath, PositiveFloat, PositiveInt, Section, Share
from effrl.section import kind_or as _kind
from effrl.select.target import PREFIX, Target
from effrl.select.ufo import Center


class UniformSelect(Section):
    kind: Literal["uniform"] = "uniform"
    """Every prompt once per epoch, in a seeded order."""


class BandSelect(Section):
    kind: Literal["band"] = "band"
    """Prompts in turn; those whose latest pass rate lies outside of a band sit out some turns."""
    low: Share = 0.125
    """Lowest pass rate inside the band; with 8 rollouts, one that passes."""
    high: Share = 0.875
    """Highest pass rate inside the band; with 8 rollouts, one that fails."""
    rest: PositiveInt = 4
    """Turns that a prompt outside the band sits out; then it is tried again, since the policy moves."""

    @model_validator(mode="after")
    def _in_order(self) -> "BandSelect":
        if self.low > self.high:
            raise ValueError(f"select.low ({self.low}) is above select.high ({self.high}): swap them")
        return self


class CurriculumSelect(Section):
    kind: Literal["curriculum"] = "curriculum"
    """From easy to hard: a pool that opens from its easiest prompts on, by a difficulty that the data brings along."""
    column: str = "level"
    """Column of the data whose number is a prompt's difficulty; the project's own tasks have ``level``."""
    grow: Share = 0.5
    """Share of the prompts that the run rolls out before refills, after which all are open."""


class ThompsonSelect(Section):
    kind: Literal["thompson"] = "thompson"
    """Prompts whose pass rate, drawn from its posterior, is nearest to a target (MoPPS, arXiv 2507.04632)."""
    target: Share = 0.5
    """Pass rate that prompts should have; at one half, a group's gradient is largest."""
    prior: PositiveFloat = 1.0
    """Pseudo-counts of passes and of failures before anything is observed: Beta(prior, prior)."""
    memory: Share = 0.5
    """Share of what was known of a prompt that outlives a new observation of it; 1 forgets nothing."""


class UfoSelect(Section):
    kind: Literal["ufo"] = "ufo"
    """Prompts whose answer the policy is neither sure of nor ignorant of, by one forward pass each, without rollouts
    (UFO-RL, arXiv 2505.12457)."""
    ratio: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the scored prompts to train on, rounded down; the paper's."""
    center: Center = "mean"
    """Middle of the zone: the certainties' mean, the paper's, or their median, for those that gather near 0 or 1."""
    target: Target = "final_answer"
    """What is scored: final_answer (the paper's) or full_solution of the label, or pseudo_answer, a group's vote."""
    prefix: str = PREFIX
    """Text between prompt and target, as the policy opens an answer; the paper's code writes ``<answer> ``."""
    rescore_every: PositiveInt | None = None
    """Steps after which the pool is scored anew, since the policy moves; never by default, as in the paper."""

    @property
    def buys_labels(self) -> bool:
        """Whether the target of every prompt is its true label."""
        return self.target != "pseudo_answer"


class DotsSelect(Section):
    kind: Literal["dots"] = "dots"
    """Prompts whose pass rate, predicted from a small reference set, is near a target (DOTS, arXiv 2506.05316)."""
    reference: Annotated[int, Field(ge=2)] | None = None
    """Prompts measured at the beginning of a round, the paper's K (256 for steps of 512); a quarter of
    ``rollout.prompts`` by default, since a larger set costs small batches more than it can save."""
    steps: PositiveInt = 2
    """Training steps of a round, the paper's mu."""
    target: Share = 0.5
    """Difficulty to draw near, the share of rollouts that fail; the paper's alpha."""
    temperature: PositiveFloat = 1e-3
    """Of the draw, in units of difficulty; the paper's tau."""
    posthoc: Literal["ols", "none"] = "ols"
    """After the network, a line through what it predicts for the references and what was measured (released code)."""
    embeddings: str | None = None
    """Model whose frozen hidden states stand for prompts: a Hugging Face directory or name; ``model.path`` by default
    (the paper takes Qwen2.5-Math-1.5B-Instruct)."""
    predictor: Path | None = None
    """File of ``effrl dots fit``; without one the network is fitted in the run, on what the run measures."""
    pool: PositiveInt | None = None
    """Most prompts to embed and choose from, drawn at random where ``data.train`` has more; all by default."""
    hidden: PositiveInt = 64
    """Width of a network that is fitted in the run; the paper's, fitted once on many policies, has 896. Our choice."""
    layers: PositiveInt = 2
    """Linear layers of its adapters; the paper's have 3. Our choice."""
    epochs: PositiveInt = 20
    """Passes of a fit over what is known (released code)."""
    keep: Annotated[int, Field(ge=2)] = 16
    """Newest rounds that a fit learns from: older policies were another's. Our choice."""
    warmup: PositiveInt = 2
    """Rounds of uniform draws before the first fit in the run. Our choice: untrained, the attention predicts worse than
    it costs."""
    recent: Annotated[int, Field(ge=0)] = 1
    """Earlier rounds whose groups refer too, beside the fresh references; 0 is the paper's. Our choice: a set that is
    small enough to pay says little alone."""

    @property
    def uniform_rounds(self) -> int:
        """Rounds that draw uniformly and measure no references: none with a predictor that was fitted before."""
        return 0 if self.predictor else self.warmup

    @model_validator(mode="after")
    def _rounds_are_kept(self) -> "DotsSelect":
        if self.keep <= self.recent:
            raise ValueError(
                f"select.keep ({self.keep}) rounds are kept, this one included: select.recent ({self.recent}) earlier"
                " ones cannot refer, so raise keep"
            )
        return self


class PluginSelect(Section):
    kind: ImportPath
    """Import path of your own selector (see :class:`effrl.protocols.Selector`)."""


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


AnySelect = Annotated[
    Annotated[UniformSelect, Tag("uniform")]
    | Annotated[BandSelect, Tag("band")]
    | Annotated[CurriculumSelect, Tag("curriculum")]
    | Annotated[ThompsonSelect, Tag("thompson")]
    | Annotated[UfoSelect, Tag("ufo")]
    | Annotated[DotsSelect, Tag("dots")]
    | Annotated[PluginSelect, Tag("plugin")],
    Discriminator(_kind("uniform")),
]
AnyLabel = Annotated[
    Annotated[GoldLabel, Tag("gold")]
    | Annotated[VoteLabel, Tag("vote")]
    | Annotated[RandomLabel, Tag("random")]
    | Annotated[PluginLabel, Tag("plugin")],
    Discriminator(_kind("gold")),
]


class GrpoAdvantage(Section):
    kind: Literal["grpo"] = "grpo"
    """Group-relative advantage (GRPO, arXiv 2402.03300, eq. in section 4.1.2)."""
    std: Literal["sample", "none"] = "sample"
    """Divide by the group's sample standard deviation, or not (Dr. GRPO, arXiv 2503.20783)."""


class RlooAdvantage(Section):
    kind: Literal["rloo"] = "rloo"
    """Reward minus the mean of the group's other rewards (REINFORCE leave-one-out, arXiv 2402.14740)."""


class ReinforcePpAdvantage(Section):
    kind: Literal["reinforce_pp"] = "reinforce_pp"
    """Reward minus the group's mean, by one standard deviation for the whole step (arXiv 2501.03262, with baseline)."""


class GaeAdvantage(Section):
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


class PluginAdvantage(Section):
    kind: ImportPath
    """Import path of your own advantage function (see :data:`effrl.batch.AdvantageFunction`)."""


AnyAdvantage = Annotated[
    Annotated[GrpoAdvantage, Tag("grpo")]
    | Annotated[RlooAdvantage, Tag("rloo")]
    | Annotated[ReinforcePpAdvantage, Tag("reinforce_pp")]
    | Annotated[GaeAdvantage, Tag("gae")]
    | Annotated[PluginAdvantage, Tag("plugin")],
    Discriminator(_kind("grpo")),
]


Reduce = Literal["token", "sequence", "constant"]
Clip = Literal["centered", "paper"]
"""Where the clip of a token lies whose importance weight is w: around w, or around 1 (DOTS + RR, arXiv 2506.05316).

Around 1, a replayed token that drifted beyond the clip before the step has no gradient from the start of it.
"""


class LossConfig(Section):
    """What every loss has."""

    reduce: Reduce = "token"
    """Mean over tokens; or over sequences of their mean over tokens; or sum by sequences x ``rollout.max_tokens``."""
    tis_cap: Annotated[float, Field(ge=1)] = 2.0
    """Largest importance weight of a token: between engine and learner, and between policy versions where stale."""
    beyond_cap: Literal["truncate", "mask"] = "truncate"
    """Tokens beyond the cap count with the cap (TIS), or not at all, as those below its inverse (IcePop)."""
    kl: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the KL from the initial model (arXiv 2402.03300, eq. 3); above 0, each rank holds a copy of it."""


class ClippedLoss(LossConfig):
    kind: Literal["clipped"] = "clipped"
    """Clipped surrogate (PPO, arXiv 1707.06347, eq. 7) of every token."""
    clip_low: Share = 0.2
    """Lower clip: the ratio is kept above 1 - clip_low."""
    clip_high: PositiveFloat = 0.2
    """Upper clip: the ratio is kept below 1 + clip_high (DAPO, arXiv 2503.14476, uses 0.28)."""


class GspoLoss(LossConfig):
    kind: Literal["gspo"] = "gspo"
    """Clipped surrogate of every sequence, by its ratio per token (GSPO, arXiv 2507.18071, eq. 5)."""
    reduce: Reduce = "sequence"
    """As for every loss; ``sequence`` is the paper's."""
    clip_low: Share = 3e-4
    """Lower clip of the sequence's ratio; the paper's value."""
    clip_high: PositiveFloat = 4e-4
    """Upper clip of the sequence's ratio; the paper's value."""


class CispoLoss(LossConfig):
    kind: Literal["cispo"] = "cispo"
    """REINFORCE whose importance weight is clipped, and whose gradient is not (CISPO, arXiv 2506.13585, eq. 4)."""
    clip_low: Share = 1.0
    """The weight is kept above 1 - clip_low; like the paper's, the default sets no lower bound."""
    clip_high: PositiveFloat = 4.0
    """The weight is kept below 1 + clip_high. The paper tunes it without giving a value; the default is our choice."""


AnyLoss = Annotated[
    Annotated[ClippedLoss, Tag("clipped")] | Annotated[GspoLoss, Tag("gspo")] | Annotated[CispoLoss, Tag("cispo")],
    Discriminator(_kind("clipped")),
]
