"""The configuration of a run: one strict, frozen model per section; a docstring under every field.

A config is a YAML file (or a recipe's name) plus dotted overrides: ``learn.lr=1e-4``. What only one ``kind`` of
selector, labeller, reward, … needs lives in that kind's own model.
"""

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from effrl.combinations import check_scored_targets
from effrl.data.sources import FolderSource, HubSource, JsonlSource, ParquetSource, parse_part, parse_source
from effrl.data.template import Form, Template, check_system, check_template
from effrl.kinds import (
    AnyAdvantage,
    AnyLabel,
    AnyLoss,
    AnySelect,
    ClippedLoss,
    GoldLabel,
    GrpoAdvantage,
    RandomLabel,
    StepBudget,
    UniformSelect,
    VoteLabel,
)
from effrl.reward.kinds import AnyReward, MathReward, answering
from effrl.section import PositiveFloat, PositiveInt, Section, Share
from effrl.sinks import SinkName
from effrl.tasks import gym
from effrl.tasks.source import FAMILIES, Split, level_range


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


_Source = TaskSource | JsonlSource | ParquetSource | FolderSource | HubSource
RowSource = Annotated[_Source, Discriminator("kind"), BeforeValidator(parse_source)]


class Part(Section):
    """One source of a mix."""

    source: RowSource
    """Where its rows come from."""
    weight: PositiveFloat = 1.0
    """Its share of the draws, relative to the other parts; how many rows it has does not matter."""


class MixSource(Section):
    """Rows of several sources: ``[{source: "a.jsonl", weight: 2}, "tasks:chain"]``.

    Row ids get the number of their part before them: ``2/chain/3f2a``.
    """

    kind: Literal["mix"] = "mix"
    parts: tuple[Annotated[Part, BeforeValidator(parse_part)], ...]
    """The sources, with their weights."""

    @field_validator("parts")
    @classmethod
    def _not_empty(cls, parts: tuple[Part, ...]) -> tuple[Part, ...]:
        if not parts:
            raise ValueError("a list without sources has no rows: name at least one")
        return parts


Source = Annotated[_Source | MixSource, Discriminator("kind"), BeforeValidator(parse_source)]


def one_or_several(value: object) -> str:
    """Which form of ``data.eval`` it is: a mapping is one source in its long form, or names several."""
    several = isinstance(value, dict) and value.keys().isdisjoint({"kind", "path", "name"})
    return SEVERAL_SOURCES if several else ONE_SOURCE


def _named_well(sets: dict[str, Source]) -> dict[str, Source]:
    if wrong := [name for name in sets if not re.fullmatch(r"[\w.-]+", name)]:
        raise ValueError(f"{wrong[0]!r} cannot stand in the name of a metric: use letters, digits, - and _")
    if not sets:
        raise ValueError("an empty mapping has no rows: name at least one source, or leave it out")
    return sets


ONE_SOURCE, SEVERAL_SOURCES = "one source", "several sources"
"""Tags of the two forms of ``data.eval``; with a space, so that no set has the name of one."""
EvalSource = Annotated[
    Annotated[Source, Tag(ONE_SOURCE)]
    | Annotated[dict[str, Source], AfterValidator(_named_well), Tag(SEVERAL_SOURCES)],
    Discriminator(one_or_several),
]
DEV = "dev"
"""The set to choose by, and the name of a source that is the only one."""


class DataConfig(Section):
    train: Source
    """Prompts to train on, with or without labels."""
    eval: EvalSource | None = None
    """Held-out prompts: one source, or several by name. Their labels only ever reach metrics."""
    template: Annotated[Template, BeforeValidator(check_template)] = "plain"
    """How a row's prompt is put: plain, chat, boxed, question, or your own text or messages with {prompt} in them."""
    system: Annotated[str | None, AfterValidator(check_system)] = None
    """System prompt: makes messages of plain text; a row that has a system message of its own keeps it."""

    @property
    def form(self) -> Form:
        """What :func:`effrl.data.reader.read` makes of each row's prompt."""
        return Form(self.template, self.system)

    @property
    def held_out(self) -> dict[str, Source]:
        """The evaluation sets by name; a source without one is ``dev``."""
        if self.eval is None:
            return {}
        return self.eval if isinstance(self.eval, dict) else {DEV: self.eval}

    @property
    def main_set(self) -> str | None:
        """The set whose metrics are ``eval/…``, without its name: ``dev``, or the first; last those to test on."""
        return min(self.held_out, key=lambda name: (self._is_test(name), name != DEV), default=None)

    @property
    def dev_set(self) -> str | None:
        """The set that chooses the best checkpoint: the main one; None where there are only sets to test on."""
        return None if self.main_set is None or self._is_test(self.main_set) else self.main_set

    def _is_test(self, name: str) -> bool:
        """Whether a set is named ``test…``, or has a source whose split is."""
        source = self.held_out[name]
        sources = [part.source for part in source.parts] if isinstance(source, MixSource) else [source]
        splits = [part.split for part in sources if isinstance(part, TaskSource | FolderSource | HubSource)]
        return any(text is not None and text.lower().startswith("test") for text in (name, *splits))

    def eval_field(self, name: str) -> str:
        """What an evaluation set is called in messages: ``data.eval``, or ``data.eval.test``."""
        return f"data.eval.{name}" if isinstance(self.eval, dict) else "data.eval"

    @model_validator(mode="after")
    def _one_system_prompt(self) -> "DataConfig":
        if self.system is not None and self.form.has_system:
            raise ValueError("data.template has a system message already: put data.system into it, or leave it out")
        return self


def _listed(value: object) -> object:
    """One value is a list of one."""
    return value if isinstance(value, list | tuple) else [value]


def _stops(value: object) -> object:
    stops = value if isinstance(value, list | tuple) else [value]
    for stop in stops:
        if isinstance(stop, bool) or not (stop if isinstance(stop, str) else isinstance(stop, int) and stop >= 0):
            raise ValueError('each stop is a text or a token id: write them as a list, like ["</answer>", 2]')
    return stops


class RolloutConfig(Section):
    prompts: PositiveInt = 32
    """Groups to train on per step."""
    per_prompt: Annotated[int, Field(ge=2)] = 8
    """Rollouts per prompt; a group of one has no relative advantage."""
    max_tokens: PositiveInt = 1024
    """Longest completion."""
    temperature: PositiveFloat = 1.0
    """Sampling temperature."""
    stop: Annotated[tuple[int | str, ...], BeforeValidator(_stops)] = ()
    """Texts or token ids that end a completion, such as ["</answer>"]; what was sampled of them stays part of it."""
    max_staleness: Annotated[int, Field(ge=0, le=1)] = 0
    """Policy versions that a rollout may be behind the learner: 1 samples the next step while this one is learned."""
    refill: Annotated[float, Field(ge=0)] = 0.5
    """Tokens that a step may spend on replacing groups without signal, as a multiple of its first draw's tokens."""
    kv_cache_gb: PositiveFloat = 1.0
    """Memory for the key-value cache of one engine on a CPU, in GiB."""


class LoraConfig(Section):
    rank: PositiveInt = 16
    """Rank of the adapters (LoRA, arXiv 2106.09685); each layer's update is a product of two matrices this narrow."""
    alpha: PositiveFloat = 32.0
    """The product is scaled by ``alpha / rank``."""
    targets: Literal["all"] | tuple[str, ...] = "all"
    """Last names of the linear layers that get adapters, such as [q_proj, v_proj]; never the output layer."""

    @property
    def scale(self) -> float:
        """What the product of the two matrices is multiplied by."""
        return self.alpha / self.rank


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
    zero: Literal[1, 2, 3] = 1
    """What the ranks share out (ZeRO): optimizer states, gradients too, or parameters too; see docs/learner.md."""
    activation_checkpointing: bool = False
    """Keep only the input of each layer for the backward pass: a third more time, far less memory."""
    lora: LoraConfig | None = None
    """Train low-rank adapters on the frozen model, and publish and export them merged; all weights by default."""


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

    @property
    def rollout_workers(self) -> int:
        """vLLM engines on all nodes."""
        return self.rollout.per_node * self.nodes

    @property
    def ranks(self) -> int:
        """DeepSpeed ranks on all nodes."""
        return self.learner.per_node * self.nodes


class EvalConfig(Section):
    every: PositiveInt = 10
    """Steps between evaluations; the base (row 0) and the last step are always evaluated."""
    prompts: PositiveInt = 128
    """Held-out prompts of each set, the first of its source."""
    per_prompt: PositiveInt = 4
    """Samples per prompt; ``eval/accuracy`` is their mean."""
    pass_at: Annotated[tuple[PositiveInt, ...], BeforeValidator(_listed)] = ()
    """Each k of ``eval/pass@k``, such as [1, 4]; all samples of a prompt by default."""
    temperature: Annotated[float, Field(ge=0)] | None = None
    """Sampling temperature, 0 for greedy decoding; that of the rollouts by default."""
    max_tokens: PositiveInt | None = None
    """Longest completion; that of the rollouts by default."""

    @model_validator(mode="after")
    def _enough_samples(self) -> "EvalConfig":
        if any(k > self.per_prompt for k in self.pass_at):
            raise ValueError(
                f"eval.pass_at ({max(self.pass_at)}) takes as many samples of a prompt, and eval.per_prompt is"
                f" {self.per_prompt}: lower the one or raise the other"
            )
        return self


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
    """Newest checkpoints to keep; the one that was best on the dev set is kept besides."""
    sinks: tuple[SinkName, ...] = ("tensorboard",)
    """Who gets a copy of metrics.jsonl: tensorboard, wandb, mlflow; one that fails is off, and the run goes on."""
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

    @property
    def eval_max_tokens(self) -> int:
        """Longest completion of an evaluation."""
        return self.eval.max_tokens or self.rollout.max_tokens

    @property
    def eval_temperature(self) -> float:
        """Sampling temperature of an evaluation."""
        return self.rollout.temperature if self.eval.temperature is None else self.eval.temperature

    @model_validator(mode="after")
    def _fits_together(self) -> "Config":
        if self.model.context is not None and self.rollout.max_tokens >= self.model.context:
            raise ValueError(
                f"rollout.max_tokens ({self.rollout.max_tokens}) leaves no room for a prompt within"
                f" model.context ({self.model.context}): lower the one or raise the other"
            )
        if self.model.context is not None and self.eval_max_tokens >= self.model.context:
            raise ValueError(
                f"eval.max_tokens ({self.eval_max_tokens}) leaves no room for a prompt within model.context"
                f" ({self.model.context}): lower the one or raise the other"
            )
        if isinstance(self.label.budget, StepBudget) and self.rollout.refill > 0:
            raise ValueError(
                f"rollout.refill ({self.rollout.refill}) would draw groups that the step's labels were not meant for:"
                f" set rollout.refill=0 with label.kind={self.label.kind}"
            )
        if isinstance(self.label, VoteLabel | RandomLabel) and answering(self.reward) is None:
            raise ValueError(
                f"label.kind={self.label.kind} votes on answers, which your own reward {self.reward.kind} does not"
                " tell: use reward.kind math, exact, task, choice or regex, or a sum with such a part"
            )
        check_scored_targets(self.select, self.label, self.reward)
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
        overlong = self.reward.terms.overlong
        if overlong is not None and overlong.buffer > self.rollout.max_tokens:
            raise ValueError(
                f"reward.terms.overlong.buffer ({overlong.buffer}) is longer than a completion may be,"
                f" rollout.max_tokens ({self.rollout.max_tokens}): lower it"
            )
        return self
