"""The configuration of a run: one strict, frozen model per section; a docstring under every field.

A config is a YAML file (or a recipe's name) plus dotted overrides: ``learn.lr=1e-4``. What only one ``kind`` of
selector, labeller, reward, … needs lives in that kind's own model.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from effrl.tasks import gym
from effrl.tasks.source import FAMILIES, Split, level_range

ImportPath = Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
"""``package.module:name``; the module is installed, or lies where the run starts."""
PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Strict and frozen: an unknown key is an error, and nothing changes after validation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ModelConfig(Section):
    path: str = "tiny"
    """A local Hugging Face directory, a hub name, or ``tiny``, the built-in model."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of learner and engine."""
    context: PositiveInt | None = None
    """Longest prompt plus completion, in tokens; the model's own limit by default."""


class TaskSource(Section):
    """Rows that the project makes: ``tasks:chain?split=dev&size=128&levels=0-2``."""

    kind: Literal["tasks"] = "tasks"
    name: Literal[(*FAMILIES, *gym.NAMES)]  # type: ignore[valid-type]
    """Task family of :mod:`effrl.tasks`, or a data set of reasoning-gym."""
    split: Split = "train"
    """Splits never share a problem, whatever their seeds."""
    size: PositiveInt = 4096
    """Distinct problems to draw."""
    seed: int = 0
    """Seed of the draw."""
    levels: str | None = None
    """First and last level, such as ``0-2``, or one level; all by default."""
    kinds: str | None = None
    """Kinds to draw, such as ``abc``; one that stands there twice is drawn twice as often. All by default."""

    @model_validator(mode="after")
    def _of_the_family(self) -> "TaskSource":
        if self.name in gym.NAMES:
            if self.levels or self.kinds:
                raise ValueError(f"tasks:{self.name} has no levels and no kinds: leave them out")
            return self
        family = FAMILIES[self.name]
        level_range(self.name, self.levels)
        if unknown := set(self.kinds or family.KINDS) - set(family.KINDS):
            raise ValueError(f"kinds of tasks:{self.name} are {family.KINDS}, not {''.join(sorted(unknown))}")
        return self


class JsonlSource(Section):
    """Rows of a JSON Lines file: ``problems.jsonl?prompt=question&label=answer``."""

    kind: Literal["jsonl"] = "jsonl"
    path: Path
    """File to read, one JSON object per line."""
    prompt: str = "prompt"
    """Key of the prompt: a string, or a list of messages with role and content."""
    label: str = "label"
    """Key of the label; a row may lack it."""
    id: str = "id"
    """Key of the row's id; without it the id is made from the line number."""


def _parse_source(value: object) -> object:
    """Turn the short form of a source into the mapping that the strict models check."""
    if not isinstance(value, str):
        return value
    location, _, query = value.partition("?")
    options: dict[str, str] = dict(parse_qsl(query, keep_blank_values=True))
    if location.startswith("tasks:"):
        return {"kind": "tasks", "name": location.removeprefix("tasks:"), **options}
    return {"kind": "jsonl", "path": location, **options}


Source = Annotated[TaskSource | JsonlSource, Discriminator("kind"), BeforeValidator(_parse_source)]


class DataConfig(Section):
    train: Source
    """Prompts to train on, with or without labels."""
    eval: Source | None = None
    """Held-out prompts; their labels only ever reach metrics."""


class UniformSelect(Section):
    kind: Literal["uniform"] = "uniform"
    """Every prompt once per epoch, in a seeded order."""


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


class Overlong(Section):
    buffer: PositiveInt
    """The last tokens before ``rollout.max_tokens``, over which the penalty grows (DAPO, arXiv 2503.14476, eq. 13)."""
    penalty: PositiveFloat = 1.0
    """What a completion of ``rollout.max_tokens`` loses; outcomes and filters do not see it."""


class RewardConfig(Section):
    """What every reward has: limits of the worker processes that run it, and a penalty for length."""

    timeout_s: PositiveFloat = 5.0
    """Wall-clock seconds for one completion; then its worker is killed and replaced."""
    memory_mb: PositiveInt = 2048
    """Address space that one completion may add to its worker, in MiB."""
    workers: PositiveInt = 1
    """Worker processes."""
    overlong: Overlong | None = None
    """Soft penalty for completions that come near the token limit; none by default."""


class MathReward(RewardConfig):
    kind: Literal["math"] = "math"
    """Equivalence of final answers by math-verify; a final answer is the last ``\\boxed{x}``, ``#### x`` or ``#x``."""


class ExactReward(RewardConfig):
    kind: Literal["exact"] = "exact"
    """Equality of final answers as text, spaces at the ends aside."""


class TaskReward(RewardConfig):
    kind: Literal["task"] = "task"
    """The verifier of the task family that made the prompt; for ``tasks:NAME`` sources."""


class PluginReward(RewardConfig):
    kind: ImportPath
    """Import path of your own reward function, ``package.module:function`` (see :class:`effrl.protocols.Reward`)."""


def _kind(default: str) -> Callable[[Any], str]:
    """The tag of a section with kinds: its own, ``plugin`` for an import path, or the default where none is given."""

    def tag(value: Any) -> str:
        given = value.get("kind", default) if isinstance(value, dict) else default
        if isinstance(value, Section):
            given = value.kind  # type: ignore[attr-defined]  # every member of such a union has one
        return "plugin" if ":" in str(given) else str(given)

    return tag


AnySelect = Annotated[
    Annotated[UniformSelect, Tag("uniform")] | Annotated[PluginSelect, Tag("plugin")], Discriminator(_kind("uniform"))
]
AnyLabel = Annotated[
    Annotated[GoldLabel, Tag("gold")]
    | Annotated[VoteLabel, Tag("vote")]
    | Annotated[RandomLabel, Tag("random")]
    | Annotated[PluginLabel, Tag("plugin")],
    Discriminator(_kind("gold")),
]
AnyReward = Annotated[
    Annotated[MathReward, Tag("math")]
    | Annotated[ExactReward, Tag("exact")]
    | Annotated[TaskReward, Tag("task")]
    | Annotated[PluginReward, Tag("plugin")],
    Discriminator(_kind("math")),
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


class PluginAdvantage(Section):
    kind: ImportPath
    """Import path of your own advantage function (see :data:`effrl.batch.AdvantageFunction`)."""


AnyAdvantage = Annotated[
    Annotated[GrpoAdvantage, Tag("grpo")]
    | Annotated[RlooAdvantage, Tag("rloo")]
    | Annotated[ReinforcePpAdvantage, Tag("reinforce_pp")]
    | Annotated[PluginAdvantage, Tag("plugin")],
    Discriminator(_kind("grpo")),
]


Reduce = Literal["token", "sequence", "constant"]


class LossConfig(Section):
    """What every loss has."""

    reduce: Reduce = "token"
    """Mean over tokens; or over sequences of their mean over tokens; or sum by sequences x ``rollout.max_tokens``."""
    tis_cap: PositiveFloat = 2.0
    """Cap of the truncated importance weight between engine and learner log-probs."""
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


class RolloutConfig(Section):
    prompts: PositiveInt = 32
    """Groups to train on per step."""
    per_prompt: Annotated[int, Field(ge=2)] = 8
    """Rollouts per prompt; a group of one has no relative advantage."""
    max_tokens: PositiveInt = 1024
    """Longest completion."""
    temperature: PositiveFloat = 1.0
    """Sampling temperature of training rollouts and evaluation."""
    refill: Annotated[float, Field(ge=0)] = 0.5
    """Tokens that a step may spend on replacing groups without signal, as a multiple of its first draw's tokens."""
    kv_cache_gb: PositiveFloat = 1.0
    """Memory for the key-value cache of one engine on a CPU, in GiB."""


class LearnConfig(Section):
    lr: PositiveFloat = 1e-6
    """Largest learning rate of AdamW."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Steps with a smaller learning rate at the start; it rises linearly."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning rate after the warm-up; the last two fall towards 0 at ``run.steps``, and a resume may move that."""
    updates: PositiveInt = 1
    """Optimizer steps per batch, each over its share of whole groups; more than 1 is off-policy, within the clip."""
    betas: tuple[Share, Share] = (0.9, 0.95)
    """Moment decay rates of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay of AdamW."""
    clip_norm: PositiveFloat = 1.0
    """Largest norm of the whole gradient."""
    micro_batch_tokens: PositiveInt = 16384
    """Tokens of one forward pass on one rank, padding included; the gradient does not depend on it."""


class WorkersConfig(Section):
    per_node: PositiveInt = 1
    """Workers on each node."""
    gpus: Annotated[int, Field(ge=0)] = 0
    """GPUs of each worker; 0 runs on the CPU."""
    cpus: Annotated[float, Field(ge=0)] = 0.5
    """CPU share that each worker reserves; stages alternate, so workers may use the same cores."""


class ClusterConfig(Section):
    rollout: WorkersConfig = WorkersConfig()
    """vLLM engines."""
    learner: WorkersConfig = WorkersConfig()
    """DeepSpeed ranks."""
    nodes: PositiveInt = 1
    """Nodes that carry workers."""
    start_s: PositiveFloat = 300.0
    """Deadline for a worker to come up, in seconds."""
    wait_s: PositiveFloat = 1800.0
    """Deadline for any answer of a worker, in seconds."""


class EvalConfig(Section):
    every: PositiveInt = 10
    """Steps between evaluations; the base (row 0) and the last step are always evaluated."""
    prompts: PositiveInt = 128
    """Held-out prompts, the first of the source."""
    per_prompt: PositiveInt = 4
    """Samples per prompt; ``eval/accuracy`` is their mean."""


class RunConfig(Section):
    steps: PositiveInt = 60
    """Batches to learn from; each makes one policy version."""
    dir: Path | None = None
    """Run directory; ``runs/NAME`` by default, with a number after it where that is taken."""
    seed: int = 1
    """Root of every random stream."""
    save_every: PositiveInt = 20
    """Steps between checkpoints; the last step is always saved."""
    keep: PositiveInt = 2
    """Checkpoints to keep."""
    sync_tolerance: PositiveFloat = 1e-4
    """Largest difference of learner and engine log-probs after a publish, in nats; beyond it the run stops."""


class Config(Section):
    """A whole run."""

    model: ModelConfig = ModelConfig()
    data: DataConfig
    select: AnySelect = UniformSelect()
    label: AnyLabel = GoldLabel()
    reward: AnyReward = MathReward()
    advantage: AnyAdvantage = GrpoAdvantage()
    loss: AnyLoss = ClippedLoss()
    rollout: RolloutConfig = RolloutConfig()
    learn: LearnConfig = LearnConfig()
    cluster: ClusterConfig = ClusterConfig()
    eval: EvalConfig = EvalConfig()
    run: RunConfig = RunConfig()

    @model_validator(mode="after")
    def _fits_together(self) -> "Config":
        if self.model.context is not None and self.rollout.max_tokens >= self.model.context:
            raise ValueError(
                f"rollout.max_tokens ({self.rollout.max_tokens}) leaves no room for a prompt within"
                f" model.context ({self.model.context}): lower the one or raise the other"
            )
        if isinstance(self.label.budget, StepBudget) and self.rollout.refill > 0:
            raise ValueError(
                f"rollout.refill ({self.rollout.refill}) would draw groups that the step's labels were not meant for:"
                f" set rollout.refill=0 with label.kind={self.label.kind}"
            )
        if isinstance(self.label, VoteLabel | RandomLabel) and isinstance(self.reward, PluginReward):
            raise ValueError(
                f"label.kind={self.label.kind} votes on answers, which your own reward {self.reward.kind} does not"
                " tell: use reward.kind math, exact or task"
            )
        return self

    @model_validator(mode="after")
    def _can_be_learned(self) -> "Config":
        if self.learn.updates > self.rollout.prompts:
            raise ValueError(
                f"learn.updates ({self.learn.updates}) is more than the groups of a step, rollout.prompts"
                f" ({self.rollout.prompts}), and each update needs one: lower it"
            )
        if self.learn.warmup >= self.run.steps:
            raise ValueError(
                f"learn.warmup ({self.learn.warmup}) leaves no step of run.steps ({self.run.steps}) with the whole"
                " learning rate: lower it"
            )
        if self.reward.overlong is not None and self.reward.overlong.buffer > self.rollout.max_tokens:
            raise ValueError(
                f"reward.overlong.buffer ({self.reward.overlong.buffer}) is longer than a completion may be,"
                f" rollout.max_tokens ({self.rollout.max_tokens}): lower it"
            )
        return self
