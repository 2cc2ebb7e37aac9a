"""Proof of what is served: learner and engine score the same tokens, and must agree on the *new* version.

The verdict goes by direction. Of the canary's ``n`` log-probs, ``d = new - old`` is how the learner says that an
update moves them, and ``y = served - old`` is how the engine moved. The slope ``b`` of ``y`` on ``d``, by least squares
through 0, is 1 where the new version is served, 0 where the old one is, and between them where a part is missing::

    b = sum(d y) / sum(d²)        error² = n / (n - 1) * sum(d² (y - b d)²) / sum(d²)²

The standard error is White's (1980; HC1), since improbable tokens both move more and differ more. The slope's error bar
is :data:`SIGMAS` standard errors wide on each side, and ``1 / CONCLUSIVE²`` more: the learner rounds too, and noise in
``d`` flattens the slope by its share of ``sum(d²)``, which is at most that much where the noise is within the tolerance
and the move is conclusive. A smaller move says nothing: of an update below the noise of bfloat16 the slope is about one
half, with a small error, whatever is served.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from effrl.sequences import TrainingSequence
from effrl.types import Canary, Float32, Int32

CONCLUSIVE = 3
"""An engine nearer than this many tolerances to the old version's log-probs proves nothing."""
SIGMAS = 4
"""Standard errors on each side of a slope."""
SEQUENCES = 8
"""Of a step, in its canary."""
TOKENS = 256
"""Of all sequences of a canary. Learner and engines score them in every step, and while an engine scores, it holds
logits of all tokens, in memory that it has not profiled: 256 x 152k in float32 are 156 MB."""
DRILL_TOKENS = 16
"""Of one prompt, in the drill, which scores them on the learner twice for each kind of parameter."""


def largest(difference: Float32) -> float:
    """The largest difference of a token."""
    return float(np.abs(difference).max())


def root_mean_square(difference: Float32) -> float:
    """The typical difference of a token, which does not grow with their number."""
    return float(np.sqrt(np.square(difference, dtype=np.float64).mean()))


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far the log-probs of two right implementations may lie apart, in nats."""

    nats: float
    size: Callable[[Float32], float]
    """What of the differences of all tokens is compared with ``nats``."""
    drill: int
    """How many tolerances each kind of parameter must move the log-probs in the drill. With more of them a smaller part
    of a kind is missed, such as one layer; but a model that is perturbed out of all proportion amplifies rounding."""

    def distance(self, one: Float32, other: Float32) -> float:
        return self.size(one - other)


TOLERANCES = {
    # Learner and vLLM differ by 1e-5 at most, also where all weights are perturbed by a fifth.
    "float32": Tolerance(1e-4, largest, drill=30),
    # They differ by a root mean square of 0.03; of single tokens by 0.12 among 50 and by 0.7 among 500.
    "bfloat16": Tolerance(0.2, root_mean_square, drill=5),
}


def tolerance(dtype: str, nats: float | None = None) -> Tolerance:
    """That of a precision; ``nats`` replaces its size."""
    usual = TOLERANCES[dtype]
    return usual if nats is None else replace(usual, nats=nats)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one engine serves, compared with two versions of the learner."""

    gap: float
    """From the new version to the engine, in nats."""
    moved: float
    """From the old version to the engine, in nats."""
    tolerance: float
    slope: float
    """1: the engine moved as the learner did. 0: it did not move."""
    error: float
    """Standard error of the slope."""

    @property
    def verified(self) -> bool | None:
        """False: the engine does not serve the new version. None: old and new are too close to tell."""
        if not self.gap <= self.tolerance:  # a NaN must fail
            return False
        if not self.moved >= CONCLUSIVE * self.tolerance:
            return None
        bar = SIGMAS * self.error + 1 / CONCLUSIVE**2
        if abs(self.slope - 1) > bar:
            return False
        return True if abs(self.slope) > bar else None

    def __str__(self) -> str:
        if self.gap <= self.tolerance:
            return f"its log-probs moved {self.slope:.2f} ± {self.error:.2g} times as far as the learner's"
        return f"its log-probs differ by {self.gap:.2g} nats from the learner's (tolerance {self.tolerance:.2g})"


def read(old: Float32, new: Float32, served: Float32, tolerance: Tolerance) -> Reading:
    """Compare the learner's log-probs before and after an update with the engine's."""
    gap, moved = tolerance.distance(served, new), tolerance.distance(served, old)
    return Reading(gap, moved, tolerance.nats, *_slope((new - old).astype(np.float64), served - old))


def _slope(d: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The slope of ``y`` on ``d`` through 0, and its standard error; not numbers where they cannot be told."""
    square, n = float(d @ d), len(d)
    if n < 2 or not 0 < square < np.inf:
        return np.nan, np.nan
    slope = float(d @ y) / square
    return slope, float(np.sqrt(n / (n - 1) * np.square(d * (y - slope * d)).sum())) / square


def choose(sequences: Sequence[TrainingSequence], context: int) -> Canary:
    """Take the first sequences of an update that are short enough together: of its tokens those that it moves most.

    Where all are long, windows of the first ones are taken, half of each before what was sampled at most. An engine
    samples one token after those that it scores, so a sequence leaves room for that in ``context``.
    """
    chosen, left = list[TrainingSequence](), TOKENS
    for sequence in sequences:
        if len(sequence.ids) <= min(left, context - 1) and len(chosen) < SEQUENCES:
            chosen.append(sequence)
            left -= len(sequence.ids)
    if chosen:
        return Canary(tuple(one.ids for one in chosen), tuple(one.prompt_length for one in chosen), whole=True)
    windows = [_window(one, min(TOKENS // SEQUENCES, context - 1)) for one in sequences[:SEQUENCES]]
    return Canary(tuple(ids for ids, _ in windows), tuple(start for _, start in windows))


def _window(sequence: TrainingSequence, length: int) -> tuple[Int32, int]:
    """At most ``length`` tokens, and where among them the sampled ones begin."""
    ids, prompt = sequence.ids, sequence.prompt_length
    start = max(0, min(prompt - length // 2, len(ids) - length))
    return ids[start : start + length], prompt - start


def over_prompts(prompts: Sequence[Int32]) -> Canary:
    """A canary over some prompts, for the drill before anything was sampled; all tokens count but the first of each.

    Of long ones the end is taken: with a chat template they begin alike.
    """
    ends = tuple(ids[-DRILL_TOKENS:] for ids in prompts)
    return Canary(ends, (1,) * len(ends))
