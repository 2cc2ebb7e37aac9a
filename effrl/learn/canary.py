"""Proof of what is served: learner and engine score the same tokens, and must agree on the *new* version."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from effrl.types import Canary, Float32, Int32, TrainingSequence

CONCLUSIVE = 3
"""An engine nearer than this many tolerances to the old version's log-probs proves nothing."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Largest differences over the canary's tokens, in nats."""

    gap: float
    """Engine against the learner's new version."""
    moved: float
    """Engine against the learner's old version."""
    tolerance: float

    @property
    def verified(self) -> bool | None:
        """False: the engine does not serve the new version. None: old and new are too close to tell."""
        if not self.gap <= self.tolerance:  # a NaN must fail
            return False
        return True if self.moved >= CONCLUSIVE * self.tolerance else None


def read(old: Float32, new: Float32, served: Float32, tolerance: float) -> Reading:
    """Compare the learner's log-probs before and after an update with the engine's."""
    return Reading(float(np.abs(served - new).max()), float(np.abs(served - old).max()), tolerance)


def choose(sequences: Sequence[TrainingSequence], count: int = 8) -> Canary:
    """Take the first ``count`` sequences of a step: the tokens that the update moves most."""
    chosen = sequences[:count]
    return Canary(tuple(s.ids for s in chosen), tuple(s.prompt_length for s in chosen))


def over_prompts(prompts: Sequence[Int32]) -> Canary:
    """A canary over all tokens but the first of some prompts, for the drill before anything was sampled."""
    return Canary(tuple(prompts), (1,) * len(prompts))
