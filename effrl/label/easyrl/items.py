"""What is known of a prompt of the pool, and what a round over the pool makes of all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Literal

import numpy as np

from effrl.types import ReadGroup

TOO_LONG = "its reflection prompt is too long"
ENGINE = "the engine failed"


@dataclass(frozen=True, slots=True)
class SecondLook:
    """One reflection: ``SecondLook("46", 0.21, "… #46", 118)``."""

    answer: str | None
    nll: float | None
    """Mean negative log-prob of the sampled tokens; None where there is none."""
    text: str = ""
    tokens: int = 0
    """Sampled ones."""
    lost: str = ""
    """Why there is no reflection: :data:`TOO_LONG` or :data:`ENGINE`."""

    @classmethod
    def of(cls, read: ReadGroup) -> "SecondLook":
        """From a group of one rollout."""
        (rollout,) = read.group.rollouts
        nll = float(-np.mean(rollout.logprobs, dtype=np.float64)) if len(rollout.logprobs) else None
        lost = ENGINE if rollout.failed else ""
        return cls(read.answers[0], nll, rollout.text, len(rollout.token_ids), lost)


@dataclass(frozen=True, slots=True)
class PoolLook:
    """The answers to one prompt; rollouts that the engine failed say nothing of the model, and are only counted."""

    prompt: str
    """Its id."""
    answers: tuple[str | None, ...]
    """In sampling order, None where there is none."""
    clusters: tuple[int | None, ...]
    """As in :class:`effrl.types.ReadGroup`: 0 is the most voted, of equals the first."""
    text: str = ""
    """The completion with the most voted answer."""
    tokens: int = 0
    """Sampled ones, of all rollouts."""
    failed: int = 0
    second: SecondLook | None = None

    @classmethod
    def of(cls, read: ReadGroup) -> "PoolLook":
        there = [place for place, rollout in enumerate(read.group.rollouts) if not rollout.failed]
        return cls(
            prompt=read.group.prompt.id,
            answers=tuple(read.answers[place] for place in there),
            clusters=tuple(read.clusters[place] for place in there),
            text=read.group.rollouts[read.clusters.index(0)].text if 0 in read.clusters else "",
            tokens=read.group.tokens,
            failed=len(read.group.rollouts) - len(there),
        )

    @property
    def is_lost(self) -> bool:
        """Whether fewer than half of the rollouts are left, as with any group."""
        return self.failed > len(self.answers)

    @property
    def is_consistent(self) -> bool:
        """Whether every answer is there and all have the same value (section 2.3, tier L)."""
        return not self.is_lost and set(self.clusters) == {0}

    @property
    def candidates(self) -> tuple[str, ...]:
        """Its distinct answers, as the first rollout of each wrote it; the most voted first, of equals the first."""
        clusters = sorted({cluster for cluster in self.clusters if cluster is not None})
        firsts = [self.answers[self.clusters.index(cluster)] for cluster in clusters]
        return tuple(answer for answer in firsts if answer is not None)

    def share(self, answer: str) -> float:
        """Share of the answers of one value; 0 of a text that is not among them."""
        if answer not in self.answers:
            return 0.0
        return self.clusters.count(self.clusters[self.answers.index(answer)]) / len(self.answers)


Tier = Literal["consistent", "reflected"]
"""Whose pseudo-labels are trusted; all other prompts are deferred."""


@dataclass(frozen=True, slots=True)
class PseudoLabel:
    """What a prompt is trained on as if it were its label. It is not: nobody owns it, and nothing was paid for it."""

    answer: str
    tier: Tier
    share: float
    """Of the answers before a reflection that had this value."""
    uncertainty: float | None = None
    """What the reflected tier was ranked by, in nats; None of a consistent answer."""
    text: str = ""
    """The completion that it was read from: what is judged where there is a true label to compare with."""


@dataclass(frozen=True, slots=True)
class Precision:
    """How many of some pseudo-labels are right: ``Precision(60, 64)``."""

    right: int
    of: int

    @property
    def share(self) -> float:
        """0 of none."""
        return self.right / self.of if self.of else 0.0

    @property
    def error(self) -> float:
        """Standard error of the share with one right and one wrong more: of labels that are all right it would be 0,
        and then a single wrong one more than noise."""
        share = (self.right + 1) / (self.of + 2)
        return sqrt(share * (1 - share) / (self.of + 2))


@dataclass(frozen=True, slots=True)
class LabelledPool:
    """What one round made of its pool. Labels and deferred prompts are disjoint, and cover it."""

    stage: str
    """Name of the stage, with its round."""
    policy: str
    """Fingerprint of the policy that was asked."""
    labels: Mapping[str, PseudoLabel]
    """By prompt id."""
    deferred: Mapping[str, str]
    """Why, by prompt id."""
    anchor: Precision = Precision(0, 0)
    """Of the labels that the same rules selected for easy prompts."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """``prepare/…``."""
