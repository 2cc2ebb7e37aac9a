"""``select``: which prompts are rolled out.

``kind`` names one of ours, or by an import path the user's own. What only one kind needs lives in its own model, with
the paper's value as default and its source in the docstring.
"""

from dataclasses import dataclass
from math import ceil
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from effrl.config.section import ImportPath, LocalPath, PathOrName, PositiveFloat, PositiveInt, Section, Share
from effrl.config.section import kind_or as _kind

Target = Literal["final_answer", "full_solution", "pseudo_answer", "own_sample"]
"""The label's final answer (the paper's); the whole label, where it is a solution; the policy's majority answer; or one
completion that the policy samples."""
Normalise = Literal["length", "none"]
"""The geometric mean of the target's token probabilities (the paper's), or their plain product."""


@dataclass(frozen=True, slots=True)
class TargetForm:
    """What is scored of a prompt, what stands before it, and how: ``TargetForm("final_answer", "#", "length")``."""

    target: Target
    prefix: str
    normalise: Normalise = "none"


Center = Literal["mean", "median"]
"""The middle of the zone. The mean is the paper's; where most certainties gather near 0 or near 1 it lies where few
prompts are, and the median stays with the many."""


class SelectConfig(Section):
    """What other parts need to know of every selector."""

    @property
    def buys_labels(self) -> bool:
        """Whether it reads the true label of every prompt before the first step, which is charged."""
        return False

    @property
    def votes(self) -> bool:
        """Whether it reads majority answers of prompts: then the reward must tell answers."""
        return False

    @property
    def asks_for_work(self) -> bool:
        """Whether what it does depends on how many labels are worked solutions."""
        return False

    @property
    def weighs_rollouts(self) -> bool:
        """Whether rollouts count in proportion to their entropy."""
        return False

    def measured(self, prompts: int, steps: int, pool: int) -> int:
        """Prompts that it rolls out before it chooses, in a run of so many steps of ``prompts`` of a pool each."""
        return 0


class UniformSelect(SelectConfig):
    kind: Literal["uniform"] = "uniform"
    """Every prompt once per epoch, in a seeded order."""


class BandSelect(SelectConfig):
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


class CurriculumSelect(SelectConfig):
    kind: Literal["curriculum"] = "curriculum"
    """From easy to hard: a pool that opens from its easiest prompts on, by a difficulty that the data brings along."""
    column: str = "level"
    """Column of the data whose number is a prompt's difficulty; the project's own tasks have ``level``."""
    grow: Share = 0.5
    """Share of the prompts that the run rolls out before refills, after which all are open."""


class ThompsonSelect(SelectConfig):
    kind: Literal["thompson"] = "thompson"
    """Prompts whose pass rate, drawn from its posterior, is nearest to a target (MoPPS, arXiv 2507.04632)."""
    target: Share = 0.5
    """Pass rate that prompts should have; at one half, a group's gradient is largest."""
    prior: PositiveFloat = 1.0
    """Pseudo-counts of passes and of failures before anything is observed: Beta(prior, prior)."""
    memory: Share = 0.5
    """Share of what was known of a prompt that outlives a new observation of it; 1 forgets nothing."""


class GresoSelect(SelectConfig):
    kind: Literal["greso"] = "greso"
    """Every prompt once per epoch, but for those that are skipped since their last groups had no signal (GRESO, arXiv
    2506.02177)."""
    p: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A prompt with z groups in a row without signal is drawn with the chance p^z, but at least 0.01, when its turn
    comes; this is p at first, for groups that are all right and for those that are all wrong (released code)."""
    step: Share = 0.01
    """What each p moves by after a step, from the second epoch on: down where the waste of its kind reaches its share,
    else up (released code)."""
    bounds: tuple[Share, Share] = (0.05, 0.95)
    """Least and largest p (released code)."""
    easy: Share = 1 / 12
    """Share of a step's groups that may be all right: a third of the paper's 0.25."""
    hard: Share = 1 / 6
    """Share of a step's groups that may be all wrong: two thirds of the paper's 0.25."""

    @model_validator(mode="after")
    def _within_bounds(self) -> "GresoSelect":
        low, high = self.bounds
        if not low <= self.p <= high:
            raise ValueError(f"select.p ({self.p}) must lie within select.bounds ({low}, {high}): change one of them")
        return self


class AdaRftSelect(SelectConfig):
    kind: Literal["adarft"] = "adarft"
    """Prompts whose difficulty is nearest to a target that follows the mean outcome (AdaRFT, arXiv 2504.05520)."""
    difficulty: str = "base"
    """``base``: one group of each prompt, rolled out before the first step; else the column of the data that has it, in
    any unit. (The paper takes 128 rollouts of another model.)"""
    target: Share = 0.5
    """Mean outcome to keep to (the paper's beta)."""
    sensitivity: PositiveFloat = 2.0
    """How sharply the target difficulty follows a step's mean outcome (the paper's alpha)."""
    step: PositiveFloat = 50.0
    """Largest move, where difficulties lie between 0 and 100 (the paper's eta)."""
    no_repeat: bool = True
    """Draw no prompt twice before all were drawn. The released code has nothing of the sort: while the target stands
    still, it draws the same prompts in each step. Our choice."""

    def measured(self, prompts: int, steps: int, pool: int) -> int:
        return pool if self.difficulty == "base" else 0


class CuresSelect(SelectConfig):
    kind: Literal["cures"] = "cures"
    """Prompts in proportion to exp(s / tau), where s = sqrt(p (1 - p)) and p is the posterior mean of the pass rate;
    and rollouts in proportion to s, ``rollout.per_prompt`` of each on average (CurES, arXiv 2510.01037)."""
    tau: PositiveFloat = 0.1
    """Temperature of the draw of prompts, in units of s; the paper gives none. Our choice: of four rollouts, one half
    is then drawn three and a half times as often as none or all."""
    least: Annotated[int, Field(ge=2)] = 2
    """Fewest rollouts of a group. Our choice: one alone has no relative advantage."""
    most: Annotated[float, Field(ge=1)] = 4.0
    """Most rollouts of a group, in multiples of ``rollout.per_prompt``. Our choice."""
    memory: Share = 0.5
    """Share of what was known of a prompt that outlives a new observation of it; our choice in place of the paper's
    phases, each of which begins with four rollouts of every prompt."""


class PerplexitySelect(SelectConfig):
    kind: Literal["perplexity"] = "perplexity"
    """Prompts by how familiar their own text is to the policy: familiar ones first, unfamiliar ones last (PREPO, arXiv
    2511.00794)."""
    candidates: Annotated[float, Field(ge=1)] = 5.0
    """Prompts that a step scores, in multiples of those that it rolls out; the paper's. With 1 draws are uniform."""
    weight: Literal["entropy", "none"] = "entropy"
    """Whether a rollout's advantage is multiplied by its mean token entropy, in units of the step's mean (the paper's);
    here the entropy is estimated by the sampled tokens' log-probs."""

    @property
    def weighs_rollouts(self) -> bool:
        return self.weight == "entropy"


class ZoneSelect(SelectConfig):
    """What all selectors have that look for a part of the pool in which groups teach more."""

    control: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of the draws that stays uniform, to compare with: the zone is used only while more of its groups have
    signal. With 0 it always is, as in the papers. Our choice."""
    quota: PositiveFloat | None = 4.0
    """Most of a choice that one stratum (level, and a third by length) may have, in multiples of its share of the pool;
    null: all, as in the papers. Our choice."""


class UfoSelect(ZoneSelect):
    kind: Literal["ufo"] = "ufo"
    """Prompts whose answer the policy is neither sure of nor ignorant of, by one forward pass each, without rollouts
    (UFO-RL, arXiv 2505.12457)."""
    ratio: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share of the scored prompts to train on, rounded down; the paper's."""
    center: Literal["mean", "median", "calibrated"] = "mean"
    """Middle of the zone: the certainties' mean, the paper's, their median, for those that gather near 0 or 1, or
    where the pass rates of the run's own groups are one half (``select.kind=calibrated``, with certainties)."""
    normalise: Normalise = "none"
    """Whether the length of a target counts: none takes the product of its token probabilities, which tells more on
    our bench; length the geometric mean, the paper's, which lifts long targets that are mostly copied."""
    target: Target | None = None
    """What is scored: final_answer (the paper's) or full_solution of the label, pseudo_answer, a group's vote, or
    own_sample, one completion. By default full_solution where most labels are worked out, else final_answer."""
    prefix: str | None = None
    """Text between prompt and answer, as the policy opens one. By default what ``data.template`` or ``data.system`` ask
    for, or what the reward reads: ``\\boxed{``, ``#### ``, ``#``, or the paper's ``<answer> ``; else it must be set."""
    rescore_every: PositiveInt | None = None
    """Steps after which the pool is scored anew, since the policy moves; never by default, as in the paper."""

    @property
    def asks_for_work(self) -> bool:
        return self.target is None

    @property
    def buys_labels(self) -> bool:
        return self.target not in ("pseudo_answer", "own_sample")

    @property
    def votes(self) -> bool:
        return self.target == "pseudo_answer"


class DotsSelect(ZoneSelect):
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
    posthoc: Literal["ols", "calibrated", "none"] = "ols"
    """After the network: a line through what it predicts for the references and what was measured (released code), or
    kernel ridge on that and the embeddings, whichever of them tells the references best."""
    embeddings: PathOrName | None = None
    """Model whose frozen hidden states stand for prompts: a Hugging Face directory or name; ``model.path`` by default
    (the paper takes Qwen2.5-Math-1.5B-Instruct)."""
    predictor: LocalPath | None = None
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

    def references(self, prompts: int) -> int:
        """Prompts of a reference set, where a step has so many."""
        return self.reference or max(2, prompts // 4)

    def measured(self, prompts: int, steps: int, pool: int) -> int:
        return self.references(prompts) * max(0, ceil(steps / self.steps) - self.uniform_rounds)

    @model_validator(mode="after")
    def _rounds_are_kept(self) -> "DotsSelect":
        if self.keep <= self.recent:
            raise ValueError(
                f"select.keep ({self.keep}) rounds are kept, this one included: select.recent ({self.recent}) earlier"
                " ones cannot refer, so raise keep"
            )
        return self


class CalibratedSelect(ZoneSelect):
    kind: Literal["calibrated"] = "calibrated"
    """Prompts whose pass rate, predicted by kernel ridge from the run's own groups, is near a target. Our own."""
    reference: Annotated[int, Field(ge=2)] = 64
    """Uniform draws at the beginning that are measured; they are learned from as any others."""
    target: Share = 0.5
    """Pass rate to draw near; at one half, a group's gradient is largest."""
    temperature: PositiveFloat = 0.05
    """Of the draw, in units of the pass rate: about half of what a prediction errs by."""
    keep: Annotated[int, Field(ge=2)] = 512
    """Newest groups that a fit learns from; it takes a third of a second with so many, and eight times as long with
    twice as many."""
    rest: PositiveInt = 8
    """Draws for which a prompt is not drawn again."""
    candidates: PositiveInt = 8192
    """Prompts of the pool, drawn at random, that one draw predicts and ranks: what it costs does not grow beyond."""
    embeddings: PathOrName | None = None
    """Model whose frozen hidden states stand for prompts: a directory or a hub's name; ``model.path`` by default."""
    pool: PositiveInt | None = None
    """Most prompts to embed and choose from, drawn at random where ``data.train`` has more; all by default."""


class PluginSelect(SelectConfig):
    kind: ImportPath
    """Import path of your own selector (see :class:`effrl.protocols.Selector`)."""


AnySelect = Annotated[
    Annotated[UniformSelect, Tag("uniform")]
    | Annotated[BandSelect, Tag("band")]
    | Annotated[CurriculumSelect, Tag("curriculum")]
    | Annotated[ThompsonSelect, Tag("thompson")]
    | Annotated[GresoSelect, Tag("greso")]
    | Annotated[AdaRftSelect, Tag("adarft")]
    | Annotated[CuresSelect, Tag("cures")]
    | Annotated[PerplexitySelect, Tag("perplexity")]
    | Annotated[UfoSelect, Tag("ufo")]
    | Annotated[DotsSelect, Tag("dots")]
    | Annotated[CalibratedSelect, Tag("calibrated")]
    | Annotated[PluginSelect, Tag("plugin")],
    Discriminator(_kind("uniform")),
]


def target_or_default(given: Target | None, worked: bool) -> Target:
    """What is scored: what is given, else what suits labels that are, or are not, worked solutions."""
    return given or ("full_solution" if worked else "final_answer")
