"""``label.buy``: whose labels are bought. A buyer ranks the groups of a step; the first are bought."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from effrl.config.section import PositiveFloat, PositiveInt, Section, Share, kind_or


def named(value: Any) -> Any:
    """A bare name is a kind with its defaults: ``buy: random``."""
    return {"kind": value} if isinstance(value, str) else value


class ProbeConfig(Section):
    """Two small networks on the policy's hidden states (RLAVR/CARE): the values of its released scripts."""

    prompt: PositiveInt = 128
    """Width of what is made of a prompt."""
    response: tuple[PositiveInt, PositiveInt] = (64, 512)
    """Widths of what is made of a rollout."""
    main: PositiveInt = 256
    """Width before the output."""
    lr: PositiveFloat = 1e-4
    """Of AdamW without weight decay."""
    updates: PositiveInt = 3
    """Optimizer steps after each step of the policy."""
    history: PositiveInt = 16
    """Earlier records that each of them learns from besides the step's own."""
    memory: PositiveInt = 2048
    """Newest records that are kept."""
    auxiliary: Annotated[float, Field(ge=0)] = 1.5
    """Weight of the gate's second loss: which single rollouts are right."""


class CareBuy(Section):
    kind: Literal["care"] = "care"
    """The largest expected corrective advantage gap, by a probe on the policy's hidden states (RLAVR/CARE)."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Steps of a stage in which groups rank by the entropy of their answers, since the probe knows nothing yet. The
    paper has none: it begins with the groups whose largest minority is big."""


class RandomBuy(Section):
    kind: Literal["random"] = "random"
    """Groups chosen at random: what active labelling must beat."""


class FixedBuy(Section):
    kind: Literal["fixed"] = "fixed"
    """The same prompts always, drawn once: a labelled set beside an unlabelled one, as TraPO has it. Set
    ``label.budget.per_step`` to 1, or some of them wait for a later visit."""
    share: Share = 0.25
    """Prompts of the data that are in the set; TraPO's."""


class EntropyBuy(Section):
    kind: Literal["entropy"] = "entropy"
    """The highest entropy of the answers of a group; without any answer, 0."""


class AvgProbBuy(Section):
    kind: Literal["avg_prob"] = "avg_prob"
    """The lowest mean probability of a sampled token."""


DIAGNOSTIC = "a diagnostic: label.buy.kind=oracle_cag reads labels that nobody bought to choose what to buy"
"""What a run and its reports say of it."""


class OracleCagBuy(Section):
    kind: Literal["oracle_cag"] = "oracle_cag"
    """The largest true gap: a diagnostic, which looks at labels that nobody bought. Reports say so."""


AnyBuy = Annotated[
    Annotated[CareBuy, Tag("care")]
    | Annotated[RandomBuy, Tag("random")]
    | Annotated[FixedBuy, Tag("fixed")]
    | Annotated[EntropyBuy, Tag("entropy")]
    | Annotated[AvgProbBuy, Tag("avg_prob")]
    | Annotated[OracleCagBuy, Tag("oracle_cag")],
    Discriminator(kind_or("care")),
    BeforeValidator(named),
]
