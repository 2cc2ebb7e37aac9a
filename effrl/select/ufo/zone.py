"""UFO-RL: one forward pass per prompt scores it; train on the prompts whose certainty is nearest the pool's mean.

No rollouts. A prompt's certainty is the product of its target's token probabilities, or their geometric mean (the
paper's); the prompts whose certainty is nearest to the pool's mean are its zone of proximal development, and RL runs on
them alone. Certainties belong to one model: what another model is unsure of is another zone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, floor, fsum, isnan

import numpy as np

from effrl.config.select import Center, Normalise
from effrl.difficulty.metrics import pearson, spearman
from effrl.types import Float64


def certainty(logprobs: Sequence[float], normalise: Normalise = "length") -> float:
    """How probable a target is, in [0, 1].

    Args:
        logprobs: of the target's tokens, in nats. The log-softmax is taken in float32 or wider: -inf, a token that is
            impossible, makes the certainty 0.
        normalise: ``length`` is the geometric mean of the token probabilities, which does not depend on their number as
            such (UFO-RL's Conf); ``none`` their product, the probability of the target as a whole.

    Raises:
        ValueError: there are no tokens, or a log-prob is not a number.
    """
    if len(logprobs) == 0:
        raise ValueError("a target without tokens has no certainty")
    if any(map(isnan, logprobs)):
        raise ValueError("a log-prob of the target is not a number")
    total = fsum(logprobs) / (len(logprobs) if normalise == "length" else 1)
    return min(1.0, exp(total))  # rounding may leave a sure token's log-prob above 0


def normalised(mean: float, tokens: int, normalise: Normalise) -> float:
    """The certainty of a target of which the geometric mean is known, as ``effrl score`` keeps it."""
    return mean if normalise == "length" else mean**tokens


def middle(certainties: Float64, center: Center) -> float:
    """The centre of the zone. The sum is exact, so it does not depend on the order of the prompts."""
    return float(np.median(certainties)) if center == "median" else fsum(certainties) / len(certainties)


def scores(certainties: Float64, center: Center = "mean") -> Float64:
    """[N] the paper's score, ``1 - (s - middle)²``, in (0, 1]."""
    _check(certainties)
    return np.asarray(1 - np.square(certainties - middle(certainties, center)))


def zone(certainties: Float64, ratio: float, center: Center = "mean") -> list[int]:
    """Indices of the prompts to train on, best score first; of equals, the first of the pool.

    Ranked by ``|s - middle|``, which orders as the score does but without its rounding: near the middle, squares are
    lost beside 1.

    Args:
        certainties: [N], each in [0, 1].
        ratio: share of the pool to keep, rounded down, but at least one prompt.
        center: where the zone lies.

    Raises:
        ValueError: there are no prompts, or a certainty is not in [0, 1].
    """
    _check(certainties)
    distance = np.abs(certainties - middle(certainties, center))
    return [int(index) for index in np.argsort(distance, kind="stable")[: kept(len(certainties), ratio)]]


def kept(prompts: int, ratio: float) -> int:
    """How many prompts a zone has: a tenth of 7,473 is 747."""
    return min(prompts, max(1, floor(ratio * prompts + 1e-9)))  # 0.29 x 100 is 28.999999999999996


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far one forward pass tells the same as many rollouts."""

    pearson: float
    spearman: float
    overlap: float
    """Share of the one zone that is in the other; ``ratio`` by chance."""


def agreement(certainties: Float64, sampled: Float64, ratio: float, center: Center = "mean") -> Agreement:
    """Compare certainties with pass rates measured in rollouts of the same prompts, the estimate that they replace.

    Args:
        certainties: [N] of :func:`certainty`.
        sampled: [N] of :func:`sampled_rate`.
        ratio: share of the pool in either zone.
        center: where both zones lie.
    """
    one, two = zone(certainties, ratio, center), zone(sampled, ratio, center)
    return Agreement(
        pearson(certainties, sampled), spearman(certainties, sampled), len({*one} & {*two}) / max(1, len(one))
    )


def sampled_rate(outcomes: Sequence[float | None]) -> float:
    """The multi-sample estimate: mean outcome of a prompt's rollouts, those that could not be scored left out.

    Raises:
        ValueError: no rollout was scored.
    """
    scored = [outcome for outcome in outcomes if outcome is not None]
    if not scored:
        raise ValueError("no rollout of the prompt was scored")
    return fsum(scored) / len(scored)


def _check(certainties: Float64) -> None:
    if len(certainties) == 0:
        raise ValueError("a zone needs at least one prompt")
    wrong = np.flatnonzero(~((certainties >= 0) & (certainties <= 1)))
    if len(wrong):
        raise ValueError(f"certainty {wrong[0]} is {certainties[wrong[0]]}, outside of [0, 1]")
