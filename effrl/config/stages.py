"""``stages`` and ``easy``: stretches of a run with settings of their own, and the pool that each one draws from."""

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from math import ceil
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from effrl.config.section import LocalPath, PositiveFloat, PositiveInt, Section, Share, kind_or
from effrl.types import LOOK_AHEAD

STAGED = (
    "select",
    "label",
    "advantage",
    "loss",
    "reward.terms",
    "process",
    "replay",
    "rollout.prompts",
    "rollout.per_prompt",
    "rollout.refill",
    "rollout.max_staleness",
    "learn.lr",
    "learn.schedule",
    "learn.warmup",
    "learn.updates",
)
"""Fields and whole sections that a stage may set; all others are of what a run is made of, and stay."""


_SHARED_BY_LABELS = ("oracle", "ledger", "reuse", "max_age", "wait_s", "opinions", "monitor")


class EasySplit(Section):
    """Which prompts count as easy: the pool ``easy`` of a stage, and the anchor of pseudo-labels (EasyRL)."""

    share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the prompts that are easy, at least one."""
    by: Literal["column", "certainty", "pass_rate", "random"] = "column"
    """What tells: a number in each row; the certainty of the model's own answer, as ``select.kind: ufo`` with
    ``target: own_sample`` has it; the share of ``rollout.per_prompt`` rollouts that agree with the most voted answer;
    or nothing. The base model is asked, and ties go by id."""
    column: str = "difficulty"
    """Key of the number in each row: the smaller, the easier. Built-in tasks have ``level``."""

    def count(self, prompts: int) -> int:
        """Easy ones of so many: ``share`` of them, rounded up, and at least one."""
        return min(prompts, max(1, ceil(self.share * prompts - 1e-9)))


class Reflection(Section):
    """The second look at prompts whose answers differ: the model sees them and answers once more."""

    candidates: Literal["real", "none"] = "real"
    """The answers that the model gave; ``none`` shows it none, as the released code does in effect."""
    most: PositiveInt = 3
    """Answers that are shown, the most voted first: small models reflect badly on more."""
    template: Literal["math", "choice", "free", "tiny"] | LocalPath = "math"
    """How the model is asked: for problems with a computed answer, for those that give choices, for all others, or as
    the built-in models were taught to be; or a Jinja file of your own, with ``question`` and ``answers``."""
    max_tokens: PositiveInt | None = None
    """Longest reflection; ``rollout.max_tokens`` by default."""


class PseudoPool(Section):
    """Prompts that the model labels itself (EasyRL, stages 2 and 3): where its answers agree, or it is sure of its
    second look. Prompts with true labels are drawn with them."""

    kind: Literal["pseudo"] = "pseudo"
    gold: Literal["easy", "owned"] = "easy"
    """Who keeps a true label: the easy prompts, whose labels are bought, or those whose label is owned when the stage
    begins. Owned ones may lie all over the data, and then their anchor is no easier than the pool."""
    samples: Annotated[int, Field(ge=2)] = 4
    """Answers of each prompt (N); they are consistent if every one has the same value."""
    reflection: Reflection | None = Reflection()
    """How the others are asked once more; with null, they wait for the next round."""
    uncertainty: Literal["reflection_nll", "answer_entropy"] = "reflection_nll"
    """What a reflected answer is ranked by: the mean negative log-prob of the reflection's tokens (released code), or
    the entropy of the answers before it, in nats (paper), where only what will be selected is asked once more."""
    quantile: Share = 0.3
    """Answers whose uncertainty lies strictly below this quantile of the round's are selected."""
    cap: PositiveFloat | None = None
    """Largest uncertainty that is selected besides: the quantile alone always lets some in."""
    consistent_needs: Share | None = None
    """Share of right answers that the consistent ones of the anchor must have; below it, consistent answers are not
    trusted, and their prompts wait; so it is where the anchor has none. Without it all are trusted."""
    anchor: PositiveInt = 64
    """Prompts of ``gold`` on which each round measures how right the tiers are."""
    deferred: Literal["drop", "buy"] = "drop"
    """What becomes of prompts that are not selected: they wait for the next round, or they are drawn too, and the
    stage's ``label`` decides about them, such as ``care`` within its budget."""
    cumulative: bool = False
    """Keep what earlier rounds selected in the pool."""
    least: Share = 0.01
    """A round that selects fewer prompts than this share of the first round's pool, or none, is the last."""

    @property
    def splits(self) -> bool:
        """Whether it matters which prompts are easy."""
        return self.gold == "easy"

    def largest(self, easy: int, rest: int) -> int:
        """Prompts in it, at most, of so many."""
        return easy + rest

    def labelled(self, easy: int, rest: int) -> tuple[int, int]:
        """Easy prompts and others whose true label a stage may buy, at most."""
        first = easy if self.splits or self.deferred == "buy" else 0
        return first, rest if self.deferred == "buy" else 0

    def asks(self, easy: int, rest: int) -> int:
        """Rollouts and reflections of one round, at most."""
        anchor = min(self.anchor, easy) if self.splits else easy
        return (rest + anchor) * (self.samples + (self.reflection is not None))


def _as_section(value: Any) -> Any:
    """A name alone is that kind."""
    return {"kind": value} if isinstance(value, str) else value


class NamedPool(Section):
    kind: Literal["all", "easy", "rest", "owned"] = "all"
    """All prompts, the easy ones, those that are not easy, or those whose label is owned when the stage begins."""

    @property
    def splits(self) -> bool:
        """Whether it matters which prompts are easy."""
        return self.kind in ("easy", "rest")

    def largest(self, easy: int, rest: int) -> int:
        """Prompts in it, at most, of so many."""
        return {"easy": easy, "rest": rest}.get(self.kind, easy + rest)

    def labelled(self, easy: int, rest: int) -> tuple[int, int]:
        """Easy prompts and others whose true label a stage may buy, at most."""
        return {"all": (easy, rest), "easy": (easy, 0), "rest": (0, rest), "owned": (0, 0)}[self.kind]

    def asks(self, easy: int, rest: int) -> int:
        """Rollouts before the first step, to find it."""
        return 0


AnyPool = Annotated[
    Annotated[NamedPool, Tag("all")]
    | Annotated[NamedPool, Tag("easy")]
    | Annotated[NamedPool, Tag("rest")]
    | Annotated[NamedPool, Tag("owned")]
    | Annotated[PseudoPool, Tag("pseudo")],
    Discriminator(kind_or("all")),
    BeforeValidator(_as_section),
]


UNLIMITED = 1_000_000
"""``run.steps`` of a run whose stages have lengths in epochs: their pools are not known yet."""


class StageConfig(Section):
    """A stretch of steps."""

    name: str
    """For metrics, ledger and report: letters, digits, ``-`` and ``_``."""
    steps: PositiveInt | None = None
    """Its length; with ``rounds``, of each."""
    epochs: PositiveFloat | None = None
    """Its length as a multiple of its pool, where that is the better measure; a part of a batch counts as one."""
    pool: AnyPool = NamedPool()
    """The prompts that it draws from: all, easy, rest, owned, or {kind: pseudo, …}."""
    rounds: PositiveInt = 1
    """Of a pool that the model labels itself: how often it is asked again about the prompts that are left."""
    reset_optimizer: bool = False
    """Begin with an optimizer that has no memory, in each round."""
    set: Mapping[str, Any] = Field({})
    """What is different in it, by dotted field: {learn.lr: 1e-5, label.kind: vote}."""

    def length(self, pool: int | None, prompts: int) -> int | None:
        """Its steps, with so many prompts each; None where that is a matter of its pool, whose size is not known."""
        if self.epochs is None:
            return self.steps
        return None if pool is None else max(1, ceil(self.epochs * pool / prompts - 1e-9))

    def merged_into(self, run: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a run, dumped, with those of the stage.

        Another kind of section begins with its defaults; but who answers, the ledger and the budget in all are those of
        the run unless the stage says otherwise.
        """
        settings = {**deepcopy(dict(run)), "stages": []}
        for path, value in self.set.items():
            *parents, leaf = path.split(".")
            section = settings
            for parent in parents[:-1]:
                section = section[parent]
            if parents and leaf == "kind" and (section[parents[-1]] or {}).get("kind") != value:
                section[parents[-1]] = {"kind": value}
            else:
                (section[parents[-1]] if parents else section)[leaf] = value
        shared = {name: run["label"][name] for name in _SHARED_BY_LABELS}
        settings["label"] = {**shared, **settings["label"]}
        settings["label"]["budget"] = {"total": run["label"]["budget"]["total"], **settings["label"].get("budget", {})}
        return settings

    @property
    def learns_labels(self) -> PseudoPool | None:
        """The pool, where the model labels it."""
        return self.pool if isinstance(self.pool, PseudoPool) else None

    @field_validator("name")
    @classmethod
    def _can_be_a_name(cls, name: str) -> str:
        if not re.fullmatch(r"[\w-]+", name):
            raise ValueError("a name has letters, digits, - and _ alone, since files and labels are filed under it")
        if name == LOOK_AHEAD:
            raise ValueError(f"labels that are bought before a step are filed under {name}: choose another name")
        return name

    @field_validator("set")
    @classmethod
    def _may_be_set(cls, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in fields:
            if not f"{name}.".startswith(tuple(f"{allowed}." for allowed in STAGED)):
                raise ValueError(f"a stage cannot set {name}, but {', '.join(STAGED)}: set all else for the run")
        return fields

    @model_validator(mode="after")
    def _has_a_length(self) -> "StageConfig":
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(f"stage {self.name} needs a length: set steps or epochs, and not both")
        if self.rounds > 1 and self.learns_labels is None:
            raise ValueError(
                f"stage {self.name} has {self.rounds} rounds, which are of a pool that the model labels itself:"
                " set pool={kind: pseudo}, or leave rounds out"
            )
        return self


def steps_of(stages: Sequence[Any]) -> int:
    """Steps of all stages as they were written down, where every one says how many."""
    lengths = [
        stage["steps"] * stage.get("rounds", 1) if isinstance(stage, Mapping) and _counts(stage) else UNLIMITED
        for stage in stages
    ]
    return min(sum(lengths), UNLIMITED)


def _counts(stage: Mapping[str, Any]) -> bool:
    return isinstance(stage.get("steps"), int) and isinstance(stage.get("rounds", 1), int)
