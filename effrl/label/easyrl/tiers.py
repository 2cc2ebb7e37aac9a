"""Which prompts of a pool get a pseudo-label: where answers agree, or where the model is sure of its second look.

EasyRL's released code ranks by the mean negative log-prob of the reflection and selects what lies strictly below a
quantile; its paper ranks by the entropy of the answers (sections 2.3 and (c) 4 to 7 of the project's notes on it).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import inf, isfinite
from typing import Literal

import numpy as np

from effrl.config.stages import PseudoPool
from effrl.label.buy.entropy import answer_entropy
from effrl.label.easyrl.items import ENGINE, PoolLook, PseudoLabel

Uncertainty = Literal["reflection_nll", "answer_entropy"]

NOT_TRUSTED = "consistent answers are not trusted in this round"
NOT_ASKED = "its answers differ, and nobody reflects"
UNCERTAIN = "its answer is too uncertain"
NO_ANSWER = "it has no answer at all"


def uncertainty(look: PoolLook, by: Uncertainty) -> float:
    """In nats; infinite where there is nothing to measure, so that no NaN reaches a quantile."""
    if by == "reflection_nll":
        return inf if look.second is None or look.second.nll is None else look.second.nll
    sizes = Counter(cluster for cluster in look.clusters if cluster is not None)
    return answer_entropy(list(sizes.values())) if sizes else inf


def threshold(looks: Iterable[PoolLook], config: PseudoPool) -> float:
    """``config.quantile`` of the doubtful ones' uncertainty, by linear interpolation; of none -inf, which selects none.

    The finite values alone count. As what is selected lies strictly below, a single value, or equal ones, select none.
    """
    values = [uncertainty(look, config.uncertainty) for look in looks if is_doubtful(look)]
    finite = [value for value in values if isfinite(value)]
    return float(np.quantile(finite, config.quantile)) if finite else -inf


def is_doubtful(look: PoolLook) -> bool:
    """Whether there are answers, and they differ."""
    return not look.is_lost and not look.is_consistent


def to_reflect(looks: Sequence[PoolLook], config: PseudoPool, limit: float) -> list[PoolLook]:
    """Whom to ask once more. Where the answers alone tell uncertainty, only what lies below ``limit``: a reflection
    that nobody would trust is not paid for."""
    if config.reflection is None:
        return []
    known = config.uncertainty == "answer_entropy"
    return [look for look in looks if is_doubtful(look) and (not known or _is_sure(look, config, limit))]


def decide(look: PoolLook, config: PseudoPool, limit: float, trusted: bool) -> PseudoLabel | str:
    """The pseudo-label of a prompt, or why it is deferred.

    Args:
        limit: what :func:`threshold` found in the whole pool.
        trusted: whether consistent answers are.
    """
    if look.is_lost:
        return ENGINE
    if look.is_consistent:
        return PseudoLabel(look.candidates[0], "consistent", 1.0, text=look.text) if trusted else NOT_TRUSTED
    if config.reflection is None:
        return NOT_ASKED
    if look.second is not None and look.second.lost:
        return look.second.lost
    if not _is_sure(look, config, limit):
        return UNCERTAIN
    return _reflected(look, config)


def _is_sure(look: PoolLook, config: PseudoPool, limit: float) -> bool:
    value = uncertainty(look, config.uncertainty)
    return value < limit and (config.cap is None or value <= config.cap)


def _reflected(look: PoolLook, config: PseudoPool) -> PseudoLabel | str:
    """What the reflection answers; where it has no answer, the most voted one before it."""
    assert look.second is not None, "what is sure was asked once more"
    value = uncertainty(look, config.uncertainty)
    if look.second.answer is not None:
        answer, text = look.second.answer, look.second.text
    elif look.candidates:
        answer, text = look.candidates[0], look.text
    else:
        return NO_ANSWER
    return PseudoLabel(answer, "reflected", look.share(answer), value, text)
