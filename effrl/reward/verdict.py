"""Checking what a reward function returned."""

import math
import numbers

import numpy as np

from effrl.protocols import Verdict
from effrl.types import Status


def checked(found: object) -> Verdict:
    """What a reward function returned, as a verdict; its outcome counts only where its status is ``ok``.

    Raises:
        TypeError, ValueError: it is neither a verdict nor a number in [0, 1].
    """
    verdict = found if isinstance(found, Verdict) else Verdict(_outcome(found))
    if not isinstance(verdict.status, Status) or not isinstance(verdict.answer, str | None):
        raise TypeError(f"returned {verdict!r}: status must be a Status, and answer a string or None")
    outcome = _outcome(verdict.outcome) if verdict.status is Status.OK else 0.0
    return Verdict(outcome, verdict.answer, verdict.status)


def _outcome(value: object) -> float:
    if not isinstance(value, numbers.Real | np.bool_):  # a comparison of arrays is no Real
        raise TypeError(f"returned {type(value).__name__}: a reward function returns a Verdict or a number in [0, 1]")
    outcome = float(value)
    if math.isnan(outcome) or not 0 <= outcome <= 1:
        raise ValueError(f"returned {outcome}: an outcome lies in [0, 1]")
    return outcome
