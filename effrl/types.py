"""The values that travel through the loop. All are frozen; arrays are NumPy, so that they cross processes cheaply.

A batch is built in this order: :class:`Prompt` → :class:`Group` (its rollouts) → :class:`Judged` (its supervision) →
:class:`ScoredGroup` → :class:`~effrl.sequences.TrainingSequence` → :class:`Update` → :class:`Receipt`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


class Message(TypedDict):
    """One turn of a conversation, as chat templates expect it."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the policy is asked, *without* its label (which only the oracle's vault holds).

    Example: ``Prompt("chain/3f2a", "12+34=", {"level": 2})``.
    """

    id: str
    content: str | tuple[Message, ...]
    """Plain text, sent as it is; or messages, rendered by the model's chat template."""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The prompt as text, without a chat template; of a conversation, one line for each message."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(f"{message['role']}: {message['content']}" for message in self.content)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run, and its place in the stage that it belongs to.

    Example: the third step of a stage of ten that follows one of fifty is ``Step(53, "hard", 3, 10)``.
    """

    number: int
    """Over the whole run, from 1: what journal, ledger and seeds go by."""
    stage: str
    """Name of the stage."""
    place: int
    """Within the stage, from 1: what schedules, warm-ups, rounds and curricula go by."""
    of: int
    """Steps of the stage."""


LOOK_AHEAD = "scout"
"""The stage that buys what a selector's look ahead needs: it comes before the step's own decisions."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A prompt that a selector chose, and how many rollouts it is to get."""

    prompt: Prompt
    rollouts: int


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a data source before it is split into a prompt and an entry of the vault."""

    prompt: Prompt
    label: str | None


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled completion.

    Example: ``Rollout(ids [T], logprobs [T], "12+34=46;#46", "stop", 3, 3)``.
    """

    token_ids: Int32
    """[T] sampled tokens, the end-of-sequence token included where it was sampled."""
    logprobs: Float32
    """[T] log-probs of the behaviour policy: after temperature, of exactly what was sampled from."""
    text: str
    finish_reason: Literal["stop", "length", "failed"]
    """``failed``: the engine gave the request up, and nothing that it sampled is kept (:meth:`lost`)."""
    version_min: int
    """Oldest policy version that sampled a token of this rollout."""
    version_max: int

    def __post_init__(self) -> None:
        assert self.token_ids.shape == self.logprobs.shape, "one log-prob per sampled token"

    @classmethod
    def lost(cls, version: int) -> "Rollout":
        """What stands for a request that the engine failed: it is left out of its group, never scored 0."""
        return cls(np.empty(0, np.int32), np.empty(0, np.float32), "", "failed", version, version)

    @property
    def failed(self) -> bool:
        return self.finish_reason == "failed"


Purpose = Literal["train", "eval", "scout"]


@dataclass(frozen=True, slots=True)
class Group:
    """The rollouts of one prompt; group id = (step, prompt id) within a run."""

    id: str
    prompt: Prompt
    prompt_ids: Int32
    """[P] token ids of the rendered prompt; the policy conditions on these and nothing is tokenised again."""
    rollouts: tuple[Rollout, ...]
    purpose: Purpose = "train"

    @property
    def tokens(self) -> int:
        """Sampled tokens of all rollouts."""
        return sum(len(rollout.token_ids) for rollout in self.rollouts)


@dataclass(frozen=True, slots=True)
class ReadGroup:
    """A group whose final answers are known, and which of them are equivalent; nobody has looked at a label yet.

    Example: answers ``("46", None, "46", "45")`` are of the clusters ``(0, None, 0, 1)``.
    """

    group: Group
    answers: tuple[str | None, ...]
    """One per rollout; None where there is none, or where the reward cannot tell answers."""
    clusters: tuple[int | None, ...]
    """Number of each answer's equivalence class, 0 being the largest (of equals, the one that occurs first). Answers of
    one value are equivalent; where the labeller does not read clusters, equal texts alone."""

    def size(self, cluster: int) -> int:
        """Rollouts whose answer is of the cluster."""
        return self.clusters.count(cluster)

    @property
    def majority_share(self) -> float:
        """Share of the rollouts that agree with the majority; 0 without any answer."""
        return self.size(0) / len(self.clusters)

    @property
    def voted(self) -> str | None:
        """The majority's answer, as its first rollout wrote it; None without any answer."""
        return self.answers[self.clusters.index(0)] if 0 in self.clusters else None


@dataclass(frozen=True, slots=True)
class Continuation:
    """A tokenised text whose last tokens are scored: ``Continuation(ids [L], 7)``."""

    ids: Int32
    """[L] of prompt and continuation; nothing follows."""
    start: int
    """Index of the continuation's first token."""

    @property
    def tokens(self) -> int:
        """Of the continuation."""
        return len(self.ids) - self.start


Want = Literal["logprobs", "prompt", "last"]
"""A field of a :class:`View`."""


@dataclass(frozen=True, slots=True)
class View:
    """What the learner's policy of the moment, before the update, makes of one group. Only what was wanted is there.

    H is the size of the model's hidden states, which are those after the last layer, before the output layer.
    """

    logprobs: tuple[Float32, ...] | None = None
    """[T_i] of each rollout: log-probs of its sampled tokens at the rollouts' temperature."""
    prompt: Float32 | None = None
    """[H] hidden state of the prompt's last token."""
    last: Float32 | None = None
    """[N, H] hidden state of each rollout's last sampled token."""


LabelSource = Literal["gold", "bought", "vote", "consistent", "reflected"]
TRUE_SOURCES: tuple[LabelSource, ...] = ("gold", "bought")
"""Sources of true labels; all others are pseudo-labels."""


@dataclass(frozen=True, slots=True)
class Supervision:
    """What a group is rewarded against, how much it counts, and where that came from.

    An estimator's advantages A become ``weight * (A + offset)``, after whatever it normalises.
    """

    source: LabelSource
    answer: str
    cluster: int | None = None
    """Of a pseudo-label: the cluster of answers that is rewarded. Its members are not graded again: a second judgement
    could differ from the one that voted."""
    weight: float = 1.0
    """At least 0."""
    values: tuple[float, ...] | None = None
    """[N] reward of each rollout in place of 1 for members of the cluster; who is a member stays the outcome."""
    offset: float = 0.0
    """Makes a signal even where all rewards are equal."""
    confidence: float | None = None
    """How sure the labeller is of the answer, in [0, 1], where it says so: kept with the group."""

    def __post_init__(self) -> None:
        assert self.weight >= 0
        assert self.values is None or self.cluster is not None, "values are rewards against a pseudo-label"

    @property
    def is_true(self) -> bool:
        return self.source in TRUE_SOURCES


class Decision(StrEnum):
    """What the labeller makes of a group."""

    USE = "use"
    DROP = "drop"
    PARK = "park"
    """Its label was asked for and may take days: the group waits on disk, and the learner does not wait."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A group and the labeller's decision; supervision is present exactly when the decision is ``use``."""

    read: ReadGroup
    decision: Decision
    supervision: Supervision | None = None
    reason: str = ""
    grounds: Mapping[str, float] = field(default_factory=dict)
    """What the decision went by, such as the score that groups were ranked by; kept with the group."""
    query: str | None = None
    """What a parked group waits for."""

    def __post_init__(self) -> None:
        assert (self.supervision is not None) == (self.decision is Decision.USE)
        assert (self.query is not None) == (self.decision is Decision.PARK)

    @property
    def group(self) -> Group:
        return self.read.group


class Status(StrEnum):
    """How the scoring of one rollout ended. The first three are scores, the rest are failures that give none."""

    OK = "ok"
    UNPARSEABLE = "unparseable"
    """No final answer was found: outcome 0."""
    TRUNCATED = "truncated"
    """The rollout hit its token limit before an answer: outcome 0."""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    ERROR = "error"
    CRASHED = "crashed"
    ENGINE = "engine"
    """The engine failed the request: there is nothing to score."""

    @property
    def scored(self) -> bool:
        """Whether the rollout has an outcome; otherwise it is left out, never scored 0."""
        return self in (Status.OK, Status.UNPARSEABLE, Status.TRUNCATED)


@dataclass(frozen=True, slots=True)
class Score:
    """The reward of one rollout.

    Example: ``Score(1.0, 1.0, Status.OK, "46")``; a failed verifier gives ``Score(None, None, Status.TIMEOUT)``.
    """

    outcome: float | None
    """Raw correctness in [0, 1]: what filters read."""
    reward: float | None
    """What advantages read: the outcome plus the terms."""
    status: Status
    answer: str | None = None
    """The extracted final answer, where the verifier extracts one."""
    detail: str = ""
    terms: Mapping[str, float] = field(default_factory=dict)
    """What each of ``reward.terms`` added."""

    def __post_init__(self) -> None:
        assert (self.outcome is not None) == self.status.scored, "scored rollouts, and only they, have an outcome"

    @property
    def right(self) -> bool:
        """Whether the rollout counts as right where a yes or no is needed; what could not be scored does not."""
        return self.outcome is not None and self.outcome >= 0.5


@dataclass(frozen=True, slots=True)
class ScoredGroup:
    """A judged group with one score per rollout (none where the group was dropped before scoring)."""

    judged: Judged
    scores: tuple[Score, ...]

    @property
    def group(self) -> Group:
        return self.judged.group


class Fate(StrEnum):
    """The one state in which every training group ends (docs/design.md, invariant 1)."""

    TRAINED = "trained"
    FILTERED = "filtered"
    """No signal: all of its rewards are equal."""
    UNBALANCED = "unbalanced"
    """Its mean outcome lies outside of ``rollout.filter``."""
    DROPPED = "dropped"
    """The labeller gave it no supervision."""
    FAILED = "failed"
    """Fewer than half of its rollouts could be scored."""
    PARKED = "parked"
    """It waits for its label, and gets another fate in the step in which that comes."""
    STALE = "stale"
    """Its label came after the policy had moved on too far to learn from it."""
    ROLLED_BACK = "rolled_back"
    """Rolled out by an attempt that a resume took back."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What one step found out about a prompt."""

    prompt: Prompt
    passes: float
    """Sum of outcomes."""
    tries: int
    """Scored rollouts."""
    trusted: bool = True
    """Whether a true label decided; a vote did otherwise, and what the policy is often wrong about looks solved."""


@dataclass(frozen=True, slots=True)
class Canary:
    """Sequences whose sampled tokens learner and engine both score; ``whole`` ones a step's own pass scores too."""

    ids: tuple[Int32, ...]
    prompt_lengths: tuple[int, ...]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """What learning from one batch did. ``version`` is the version that now exists; it is new only if ``learned``."""

    step: int
    version: int
    learned: bool
    metrics: Mapping[str, float] = field(default_factory=dict)
    canary: Canary | None = None
    canary_before: Float32 | None = None
    """Log-probs of the canary's sampled tokens under the version before this update."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A rollout worker's confirmation of what it loaded."""

    worker: str
    version: int
    checksum: str
    """Digest over names, shapes, dtypes and bytes of every tensor that was handed to the model."""


@dataclass(frozen=True, slots=True)
class Publication:
    """The outcome of publishing one version to every rollout worker."""

    version: int
    receipts: tuple[Receipt, ...]
    bytes: int
    verified: bool | None
    """True: receipts and canary agree. None: the canary could not tell the new version from the old one."""
    metrics: Mapping[str, float] = field(default_factory=dict)
