"""What a round over a pool found and cost, as metrics that need no label."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isfinite

from effrl.label.easyrl.items import TOO_LONG, PoolLook, PseudoLabel


def measures(
    pool: Sequence[PoolLook], asked: Sequence[PoolLook], labels: Mapping[str, PseudoLabel], limit: float
) -> dict[str, float]:
    """``prepare/*`` by name. ``threshold`` is there only where an uncertainty was known.

    Args:
        asked: the pool and the anchor, which costs rollouts too.
    """
    tiers = Counter(label.tier for label in labels.values())
    seconds = [look.second for look in asked if look.second is not None]
    found = {
        "prepare/pool": len(pool),
        "prepare/consistent_share": sum(look.is_consistent for look in pool) / len(pool) if pool else 0.0,
        "prepare/selected": len(labels),
        "prepare/consistent": tiers["consistent"],
        "prepare/reflected": tiers["reflected"],
        "prepare/deferred": len(pool) - len(labels),
        "prepare/unanswered": sum(second.answer is None and not second.lost for second in seconds),
        "prepare/too_long": sum(second.lost == TOO_LONG for second in seconds),
        "prepare/rollouts": sum(len(look.answers) + look.failed for look in asked)
        + sum(second.lost != TOO_LONG for second in seconds),
        "prepare/tokens": sum(look.tokens for look in asked) + sum(second.tokens for second in seconds),
    }
    return {**found, "prepare/threshold": limit} if isfinite(limit) else dict(found)
