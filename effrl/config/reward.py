"""The ``reward`` section of a config: what judges a completion, sums of judges, and terms on top of the outcome.

A *verifier* says what is judged; a *reward* is a verifier, or a weighted sum of several, with the limits of the worker
processes that run it.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator

from effrl.config.section import ImportPath, PositiveFloat, PositiveInt, Section, kind_or


def _letters(letters: str) -> str:
    if not re.fullmatch(r"[A-Z]{2,26}", letters) or len(set(letters)) < len(letters):
        raise ValueError("name each option once, by a capital letter, such as ABCD")
    return letters


def _pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(
            f"this is no regular expression, {error}: mend it, or escape what is meant literally"
        ) from None
    return pattern


def _extracting(pattern: str) -> str:
    if (groups := re.compile(_pattern(pattern)).groups) != 1:
        raise ValueError(
            f"the pattern has {groups} groups in parentheses: put exactly one around the answer, and write (?:…) for"
            " the others"
        )
    return pattern


LabelSort = Literal["value", "text", "option", "made"]
"""A value, however it is written; text as it stands; an option; or made by effrl itself, which needs no check."""


class VerifierConfig(Section):
    """What other parts need to know of every verifier."""

    @property
    def options(self) -> str:
        """The letters of a multiple choice; none where an answer may be anything."""
        return ""

    @property
    def labels(self) -> LabelSort:
        """What a label is to it."""
        return "text"

    @property
    def reads_marks(self) -> bool:
        """Whether it finds an answer in the usual marks: a box, ``####``, ``<answer>``, ``Answer:``."""
        return False

    @property
    def opening(self) -> str | None:
        """What a completion writes right before its answer; None where several forms are read."""
        return None


class FinalAnswerVerifier(VerifierConfig):
    """Compares the final answer of a completion (:mod:`effrl.reward.extract`) with the label's."""

    extract: Literal["strict", "lenient"] = "strict"
    """Strict reads the last ``\\boxed{x}``, ``#### x``, ``#x``, ``<answer>x</answer>`` or line ``Answer: x``. Lenient,
    where there is none, the last "the answer is x", else the last formula or number."""

    @property
    def lenient(self) -> bool:
        return self.extract == "lenient"

    @property
    def reads_marks(self) -> bool:
        return True


class MathVerifier(FinalAnswerVerifier):
    kind: Literal["math"] = "math"
    """Equivalence of final answers by math-verify."""

    @property
    def labels(self) -> LabelSort:
        return "value"


class ExactVerifier(FinalAnswerVerifier):
    kind: Literal["exact"] = "exact"
    """Equality of final answers as text, spaces at the ends aside."""


class TaskVerifier(VerifierConfig):
    kind: Literal["task"] = "task"
    """The verifier of the task family that made the prompt; for ``tasks:NAME`` sources."""

    @property
    def labels(self) -> LabelSort:
        return "made"

    @property
    def reads_marks(self) -> bool:
        return True


class ChoiceVerifier(VerifierConfig):
    kind: Literal["choice"] = "choice"
    """Multiple choice: the last option that a completion states (:mod:`effrl.reward.choice`) is the label's."""
    letters: Annotated[str, AfterValidator(_letters)] = "ABCD"
    """The options."""

    @property
    def options(self) -> str:
        return self.letters

    @property
    def labels(self) -> LabelSort:
        return "option"

    @property
    def reads_marks(self) -> bool:
        return True

    @property
    def opening(self) -> str | None:
        return "Answer: "


class RegexVerifier(VerifierConfig):
    kind: Literal["regex"] = "regex"
    """Your own pattern finds the answer; it is compared with the label as text."""
    pattern: Annotated[str, AfterValidator(_extracting)]
    """Regular expression with one group, the answer; of several matches the last one counts."""
    normalise: bool = False
    """Compare without regard to case, to how many spaces there are, and to a full stop at the end."""

    @property
    def opening(self) -> str | None:
        """The text before the group, where it is plain: ``Answer: `` of ``Answer:\\s*(.+)``."""
        before = re.sub(r"\\s[*+]?$", " ", self.pattern.partition("(")[0])
        return re.sub(r"\\(\W)", r"\1", before) if re.fullmatch(r"(?:[^\\.^$*+?{}\[\]|]|\\\W)+", before) else None


class PluginVerifier(VerifierConfig):
    kind: ImportPath
    """Import path of your own reward function, ``package.module:function`` (see :class:`effrl.protocols.Reward`)."""


AnyVerifier = Annotated[
    Annotated[MathVerifier, Tag("math")]
    | Annotated[ExactVerifier, Tag("exact")]
    | Annotated[TaskVerifier, Tag("task")]
    | Annotated[ChoiceVerifier, Tag("choice")]
    | Annotated[RegexVerifier, Tag("regex")]
    | Annotated[PluginVerifier, Tag("plugin")],
    Discriminator(kind_or("math")),
]


class Overlong(Section):
    buffer: PositiveInt
    """The last tokens before ``rollout.max_tokens``, over which the penalty grows (DAPO, arXiv 2503.14476, eq. 13)."""
    penalty: PositiveFloat = 1.0
    """What a completion of ``rollout.max_tokens`` loses."""


class Format(Section):
    pattern: Annotated[str, AfterValidator(_pattern)]
    """Regular expression that the whole completion must match; its dots match line ends too."""
    weight: PositiveFloat = 0.1
    """What a completion of this format gains."""


class Length(Section):
    weight: PositiveFloat = 0.1
    """Half of it is what the shortest completion of a group gains, if it is right, and what the longest one loses
    (Kimi k1.5, arXiv 2501.12599, section 2.3.3)."""


class Mark(Section):
    text: Annotated[str, Field(min_length=1)] = "boxed"
    """What every completion must have in it."""
    without: float = -0.5
    """Reward of a completion that lacks it, right or wrong (EasyRL's released code). A group in which some lack it has
    a signal, also where all are wrong."""


class RewardTerms(Section):
    """What is added to the reward and never to the outcome: pass rates, votes and evaluation do not see it, and of
    filters only what ``mark`` says."""

    overlong: Overlong | None = None
    """Soft penalty for completions that come near the token limit."""
    format: Format | None = None
    """Bonus for completions that match a pattern."""
    mark: Mark | None = None
    """Reward of completions that lack a text, in place of what their answer is worth."""
    length: Length | None = None
    """Bonus for completions that are short among those of their group, and a malus for long ones."""


class RewardConfig(Section):
    """What every reward has: limits of the worker processes that run it, and terms on top of the outcome."""

    timeout_s: PositiveFloat = 5.0
    """Wall-clock seconds for one completion; then its worker is killed and replaced."""
    memory_mb: PositiveInt = 2048
    """Address space that one completion may add to its worker, in MiB."""
    workers: PositiveInt = 1
    """Worker processes of each actor."""
    actors: PositiveInt = 1
    """Actors that verify side by side: the first beside the driver, others in turn on the nodes with learner ranks."""
    terms: RewardTerms = RewardTerms()
    """Added to the reward, apart from the outcome; none by default."""


class MathReward(RewardConfig, MathVerifier): ...


class ExactReward(RewardConfig, ExactVerifier): ...


class TaskReward(RewardConfig, TaskVerifier): ...


class ChoiceReward(RewardConfig, ChoiceVerifier): ...


class RegexReward(RewardConfig, RegexVerifier): ...


class PluginReward(RewardConfig, PluginVerifier): ...


class SumPart(Section):
    """One reward of a sum."""

    reward: AnyVerifier
    """What it judges; limits and terms are the sum's own."""
    weight: PositiveFloat = 1.0
    """Its share of the outcome, relative to the other parts."""


class SumReward(RewardConfig):
    kind: Literal["sum"] = "sum"
    """Weighted mean of the outcomes of several rewards."""
    parts: tuple[SumPart, ...]
    """The rewards, with their weights; answers are those of the first part that can tell them."""

    @field_validator("parts")
    @classmethod
    def _not_empty(cls, parts: tuple[SumPart, ...]) -> tuple[SumPart, ...]:
        if not parts:
            raise ValueError("a sum without parts is no reward: name at least one, like [{reward: {kind: math}}]")
        return parts


AnyReward = Annotated[
    Annotated[MathReward, Tag("math")]
    | Annotated[ExactReward, Tag("exact")]
    | Annotated[TaskReward, Tag("task")]
    | Annotated[ChoiceReward, Tag("choice")]
    | Annotated[RegexReward, Tag("regex")]
    | Annotated[SumReward, Tag("sum")]
    | Annotated[PluginReward, Tag("plugin")],
    Discriminator(kind_or("math")),
]


def answering(reward: AnyReward) -> AnyVerifier | None:
    """What tells the answers that votes are about: of a sum, its first part that can. None where nothing can."""
    verifiers = [part.reward for part in reward.parts] if isinstance(reward, SumReward) else [reward]
    return next((verifier for verifier in verifiers if not isinstance(verifier, PluginVerifier)), None)
