"""The configuration of a run: one strict, frozen model per section; a docstring under every field.

A config is a YAML file (or a recipe's name) plus dotted overrides: ``learn.lr=1e-4``. What only one ``kind`` of
selector, labeller, reward, … needs lives in that kind's own model.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from effrl.config.advantage import AnyAdvantage, GrpoAdvantage
from effrl.config.cluster import ClusterConfig, NodePool, WorkersConfig
from effrl.config.data import DataConfig
from effrl.config.label import AnyLabel, GoldLabel
from effrl.config.learn import CPU_PASS_TOKENS, LearnConfig
from effrl.config.loss import AnyLoss, ClippedLoss
from effrl.config.process import AnyProcess, ImplicitPrm
from effrl.config.replay import AnyReplay, fresh_at
from effrl.config.reward import AnyReward, MathReward, answering
from effrl.config.rollout import RolloutConfig
from effrl.config.section import LocalPath, PathOrName, PositiveFloat, PositiveInt, Section
from effrl.config.select import AnySelect, UniformSelect
from effrl.config.stages import UNLIMITED, EasySplit, StageConfig, steps_of
from effrl.config.storage import AnyStorage
from effrl.config.template import ChatArgument, check_chat_arguments

SinkName = Literal["tensorboard", "wandb", "mlflow"]


class ModelConfig(Section):
    path: PathOrName = "tiny"
    """A local Hugging Face directory, a hub name, or ``tiny``, the built-in model."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of learner and engine."""
    context: PositiveInt | None = None
    """Longest prompt plus completion, in tokens; the model's own limit by default."""
    chat_template_kwargs: Annotated[dict[str, ChatArgument], BeforeValidator(check_chat_arguments)] = Field({})
    """What the chat template is given besides the messages, such as {enable_thinking: false}."""


def _listed(value: object) -> object:
    """One value is a list of one."""
    return value if isinstance(value, list | tuple) else [value]


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
    """Batches to learn from; each makes one policy version. With ``stages``, the most of all of them together: as many
    as they have by default."""
    dir: LocalPath | None = None
    """Run directory; ``runs/NAME`` by default, with a number after it where that is taken."""
    seed: int = 1
    """Root of every random stream."""
    save_every: PositiveInt = 20
    """Steps between checkpoints; the last step is always saved."""
    keep: PositiveInt = 2
    """Newest checkpoints to keep; the one that was best on the dev set is kept besides."""
    storage: AnyStorage | None = None
    """A place away from the machine that gets a copy of the run at each checkpoint, such as s3://BUCKET/NAME. Where the
    run directory is lost, ``effrl train … --or-resume`` goes on from it (docs/storage.md)."""
    sinks: tuple[SinkName, ...] = ("tensorboard",)
    """Who gets a copy of metrics.jsonl: tensorboard, wandb, mlflow; one that fails is off, and the run goes on."""
    sync_tolerance: PositiveFloat | None = None
    """Largest difference of learner and engine log-probs after a publish, in nats; beyond it the run stops. In float32
    of any token, 1e-4 by default; in bfloat16 in root mean square, 0.2 by default: single tokens differ far more."""


def _pass_tokens(learn: LearnConfig, workers: WorkersConfig) -> int:
    limit = learn.micro_batch_tokens
    return limit if workers.gpus else min(limit, CPU_PASS_TOKENS)


class Config(Section):
    """A whole run."""

    model: ModelConfig = ModelConfig()
    data: DataConfig
    select: AnySelect = UniformSelect()
    label: AnyLabel = GoldLabel()
    reward: AnyReward = MathReward()
    process: AnyProcess | None = None
    advantage: AnyAdvantage = GrpoAdvantage()
    loss: AnyLoss = ClippedLoss()
    replay: AnyReplay | None = None
    rollout: RolloutConfig = RolloutConfig()
    learn: LearnConfig = LearnConfig()
    cluster: ClusterConfig = ClusterConfig()
    eval: EvalConfig = EvalConfig()
    run: RunConfig = RunConfig()
    easy: EasySplit | None = None
    stages: tuple[StageConfig, ...] = ()

    def fresh_at(self, step: int) -> int:
        """Prompts that a step rolls out; with replay, groups of earlier steps stand in for the others."""
        prompts, replay = self.rollout.prompts, self.replay
        return prompts if replay is None else fresh_at(step, prompts, replay.fresh, replay.warmup)

    @property
    def algorithm(self) -> str:
        """For people: ``GRPO``, or ``GRPO, gspo``; the clipped loss is the field's default and goes without saying."""
        advantage, loss = self.advantage.kind, self.loss.kind
        name = advantage if ":" in advantage else advantage.replace("_", " ").upper()
        return name if isinstance(self.loss, ClippedLoss) else f"{name}, {loss}"

    @property
    def plugins(self) -> dict[str, str]:
        """Import paths of the user's own code that runs outside of the reward's workers, by the field that names it."""
        kinds = [("label.oracle", self.label.oracle.kind)]
        if self.process is not None:
            kinds.append(("process", self.process.kind))
        for part in (self, *self.parts):
            kinds += [("select", part.select.kind), ("label", part.label.kind)]
            kinds += [("advantage", part.advantage.kind), ("loss", part.loss.kind)]
        return {f"{name}.kind": kind for name, kind in kinds if ":" in kind}

    @property
    def prm(self) -> ImplicitPrm | None:
        """The implicit PRM of the run, where it has one."""
        return self.process if isinstance(self.process, ImplicitPrm) else None

    def workers(self, learning: bool = True) -> dict[str, WorkersConfig]:
        """The workers of a run, or of an evaluation, by role."""
        cluster, prm = self.cluster, {"prm": self.cluster.prm} if self.prm else {}
        return {"rollout": cluster.rollout, **({"learner": cluster.learner, **prm} if learning else {})}

    def pools(self, learning: bool = True) -> tuple[NodePool, ...]:
        """The nodes that these workers need, those that are hardest to find first."""
        return self.cluster.pools(self.workers(learning))

    @property
    def opening(self) -> str | None:
        """What a completion writes right before its answer: what the prompt asks for, or what the reward reads.

        None where neither says.
        """
        verifier = answering(self.reward)
        if (asked := self.data.form.opening) is not None or verifier is None:
            return asked
        return (self.data.mark if verifier.reads_marks else None) or verifier.opening

    @property
    def pass_tokens(self) -> int:
        """Most tokens of one forward pass of a learner's rank, padding included."""
        return _pass_tokens(self.learn, self.cluster.learner)

    @property
    def prm_pass_tokens(self) -> int:
        """The same of a rank of the PRM."""
        return _pass_tokens(self.learn if self.prm is None else self.prm.learn, self.cluster.prm)

    @property
    def eval_max_tokens(self) -> int:
        """Longest completion of an evaluation."""
        return self.eval.max_tokens or self.rollout.max_tokens

    @property
    def eval_temperature(self) -> float:
        """Sampling temperature of an evaluation."""
        return self.rollout.temperature if self.eval.temperature is None else self.eval.temperature

    def of(self, stage: StageConfig, pool: int | None = None) -> "Config":
        """The config of one stage: its settings merged in, and its length as ``run.steps``.

        Args:
            pool: prompts that it draws from, by which a length in epochs is known.

        Raises:
            ValueError: what came of it does not fit together.
        """
        settings = stage.merged_into(self.model_dump(mode="json"))
        steps = stage.length(pool, settings["rollout"]["prompts"])
        try:
            return type(self).model_validate(settings | {"run": {**settings["run"], "steps": steps or UNLIMITED}})
        except ValidationError as error:
            from effrl.config.explain import explain  # it knows the fields of this model, which must be there first

            raise ValueError(f"stage {stage.name}: {explain(error.errors()[0]).removeprefix('config: ')}") from None

    @property
    def split(self) -> EasySplit:
        """Which prompts are easy: a tenth by their difficulty, where nothing else is said."""
        return self.easy or EasySplit()

    @property
    def labelled_only(self) -> bool:
        """Whether prompts without a true label are no use."""
        votes = any(stage.learns_labels for stage in self.stages)
        return not votes and all(part.label.buys_all for part in self.parts)

    @property
    def parts(self) -> "tuple[Config, ...]":
        """The config of each stage; of a run without stages, its own."""
        return tuple(self.of(stage) for stage in self.stages) or (self,)

    @model_validator(mode="before")
    @classmethod
    def _as_long_as_its_stages(cls, raw: Any) -> Any:
        """What limits a run that says nothing else."""
        stages, run = (raw.get("stages"), raw.get("run") or {}) if isinstance(raw, dict) else (None, None)
        if not stages or not isinstance(stages, list | tuple) or not isinstance(run, Mapping) or "steps" in run:
            return raw
        return {**raw, "run": {**run, "steps": steps_of(stages)}}

    @model_validator(mode="after")
    def _stages_fit(self) -> "Config":
        names = [stage.name for stage in self.stages]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two stages are called {twice[0]}: give each a name of its own")
        if any(stage.learns_labels for stage in self.stages) and answering(self.reward) is None:
            raise ValueError(
                f"stages label prompts by their answers, which your own reward {self.reward.kind} does not tell:"
                " use reward.kind math, exact, task, choice or regex, or a sum with such a part"
            )
        first = self.stages[0] if self.stages else None
        if first and first.pool.kind == "owned" and not (self.label.reuse or self.label.ledger):
            raise ValueError(f"stage {first.name} comes first, when no label is owned: let a stage before it buy some")
        for stage, part in zip(self.stages, self.parts, strict=False):
            same = {"oracle", "ledger", "reuse"}
            if part.label.model_dump(include=same) != self.label.model_dump(include=same):
                raise ValueError(
                    f"stage {stage.name}: label.oracle, label.ledger and label.reuse are the whole run's, which has one"
                    " ledger: set them in label"
                )
            if stage.learns_labels and part.select.buys_labels:
                raise ValueError(
                    f"stage {stage.name}: select.target reads the true label of every prompt, and the model is to label"
                    " them itself: set select.target=own_sample or pseudo_answer"
                )
            if part.process not in (None, self.process):
                raise ValueError(
                    f"stage {stage.name}: process is trained through the whole run: set it there, and switch it off"
                    " where it should rest (process: null)"
                )
        return self

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
        if self.label.share_per_step is not None and self.rollout.refill > 0:
            raise ValueError(
                f"rollout.refill ({self.rollout.refill}) would draw groups that the step's labels were not meant for:"
                f" set rollout.refill=0 with label.kind={self.label.kind}"
            )
        if self.label.votes and answering(self.reward) is None:
            raise ValueError(
                f"label.kind={self.label.kind} votes on answers, which your own reward {self.reward.kind} does not"
                " tell: use reward.kind math, exact, task, choice or regex, or a sum with such a part"
            )
        if self.label.scales and self.advantage.scales:
            raise ValueError(
                f"label.kind={self.label.kind} scales its rewards itself, and advantage.kind={self.advantage.kind}"
                " would divide them again: set advantage={kind: grpo, std: none}"
            )
        if self.label.least_rollouts > self.rollout.per_prompt:
            raise ValueError(
                f"label.kappa ({self.label.least_rollouts}) asks for more votes than a group has rollouts,"
                f" rollout.per_prompt ({self.rollout.per_prompt}), and all would be penalised: lower it"
            )
        return self

    @model_validator(mode="after")
    def _can_be_screened(self) -> "Config":
        screen, least = self.rollout.screen, self.label.least_rollouts
        if screen is None:
            return self
        if not least <= screen < self.rollout.per_prompt:
            raise ValueError(
                f"rollout.screen ({screen}) looks at a group's first rollouts, fewer than rollout.per_prompt"
                f" ({self.rollout.per_prompt}) and as many as the labeller needs ({least}): set it between them"
            )
        if not self.advantage.needs_contrast:
            raise ValueError(
                f"rollout.screen stops groups of equal outcomes, and advantage.kind={self.advantage.kind} needs them:"
                " set rollout.screen=null"
            )
        if not self.label.buys_all and answering(self.reward) is None:
            raise ValueError(
                f"rollout.screen votes where no label is owned, and your own reward {self.reward.kind} does not tell"
                " answers: set rollout.screen=null, or label.kind=gold"
            )
        return self

    @model_validator(mode="after")
    def _has_process_rewards(self) -> "Config":
        if self.process is None and self.advantage.needs_process:
            raise ValueError(
                f"advantage.kind={self.advantage.kind} is about process rewards, and there are none: set"
                " process.kind=implicit_prm, or advantage.kind=rloo"
            )
        return self

    @model_validator(mode="after")
    def _takes_turns(self) -> "Config":
        if self.cluster.colocate and self.rollout.max_staleness:
            raise ValueError(
                "cluster.colocate takes turns on one GPU, and rollout.max_staleness samples while the learner works:"
                " set rollout.max_staleness=0"
            )
        if self.cluster.colocate and self.rollout.gpu_memory > 0.7:
            raise ValueError(
                f"rollout.gpu_memory ({self.rollout.gpu_memory}) leaves a learner on the same GPU too little:"
                " set it to 0.5 or less with cluster.colocate"
            )
        if self.cluster.colocate and self.learn.zero == 3:
            raise ValueError("cluster.colocate shows whole weights to the engine: set learn.zero to 1 or 2")
        if self.cluster.colocate and self.prm and self.prm.learn.zero not in (1, 2):
            raise ValueError("cluster.colocate moves the PRM to the host and back: set process.learn.zero to 1 or 2")
        return self

    @model_validator(mode="after")
    def _shares_one_gpu(self) -> "Config":
        workers = self.workers().items()
        wrong = [name for name, kind in workers if (kind.per_node, kind.gpus) != (1, 1) or kind.apart]
        if self.cluster.colocate and wrong:
            raise ValueError(
                "cluster.colocate shares one GPU on each node between one worker of each role: set"
                f" cluster.{wrong[0]} to {{per_node: 1, gpus: 1}}, and nodes and labels in cluster alone"
            )
        return self

    @model_validator(mode="after")
    def _can_replay(self) -> "Config":
        if self.replay is not None:
            self.replay.check(self.rollout.prompts, self.run.steps, self.loss.kind, self.advantage)
        return self

    @model_validator(mode="after")
    def _can_be_scored(self) -> "Config":
        if self.select.buys_labels and not self.label.buys_all:
            raise ValueError(
                f"select.kind={self.select.kind} reads the true label of every prompt, which label.kind="
                f"{self.label.kind} does not buy: set select.target=pseudo_answer or own_sample, or label.kind=gold"
            )
        if self.select.votes and answering(self.reward) is None:
            raise ValueError(
                f"select.target=pseudo_answer votes on answers, which your own reward {self.reward.kind} does not tell:"
                " use reward.kind math, exact, task, choice or regex, or a sum with such a part"
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
        overlong = self.reward.terms.overlong
        if overlong is not None and overlong.buffer > self.rollout.max_tokens:
            raise ValueError(
                f"reward.terms.overlong.buffer ({overlong.buffer}) is longer than a completion may be,"
                f" rollout.max_tokens ({self.rollout.max_tokens}): lower it"
            )
        return self
