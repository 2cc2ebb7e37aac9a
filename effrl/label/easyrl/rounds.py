"""From round to round: what is left of the pool, what each draws, and which one is the last (EasyRL, section 2.4)."""

from collections.abc import Collection, Sequence
from math import ceil, sqrt

from effrl.config.stages import PseudoPool
from effrl.label.easyrl.items import LabelledPool, PseudoLabel
from effrl.types import Prompt


def left(pool: Sequence[Prompt], rounds: Sequence[LabelledPool]) -> list[Prompt]:
    """The prompts that no round has selected: they are asked again, by a policy that has learned from the others."""
    selected = {name for labelled in rounds for name in labelled.labels}
    return [prompt for prompt in pool if prompt.id not in selected]


def labels_of(rounds: Sequence[LabelledPool], config: PseudoPool) -> dict[str, PseudoLabel]:
    """The pseudo-labels that the last of these rounds trains on: its own, or with ``cumulative`` those of all."""
    taken = rounds if config.cumulative else rounds[-1:]
    return {name: entry for labelled in taken for name, entry in labelled.labels.items()}


def drawn(gold: Collection[str], rounds: Sequence[LabelledPool], config: PseudoPool) -> frozenset[str]:
    """Ids of the prompts that the last of these rounds draws: those with a pseudo-label, and the gold ones with their
    labels in every round, as an anchor; with ``deferred: buy`` those that wait too."""
    waiting = rounds[-1].deferred if rounds and config.deferred == "buy" else {}
    return frozenset({*gold, *labels_of(rounds, config), *waiting})


def why_last(prompts: int, rounds: Sequence[LabelledPool], config: PseudoPool) -> str | None:
    """Why no round follows these; None where one may.

    Precision has fallen if that on the anchor is lower than in the round before by more than the standard error of
    their difference: rounds differ by that much without any change, and what a wrong label teaches is not unlearned.

    Args:
        prompts: of the pool before the first round.
    """
    now = rounds[-1]
    if len(now.labels) < max(1, ceil(config.least * prompts - 1e-9)):
        return f"it selected {len(now.labels)} of {prompts} prompts"
    if not now.deferred:
        return "every prompt is labelled"
    if len(rounds) > 1 and _has_fallen(rounds[-2], now):
        return f"precision on the anchor fell from {rounds[-2].anchor.share:.3f} to {now.anchor.share:.3f}"
    return None


def _has_fallen(before: LabelledPool, now: LabelledPool) -> bool:
    if not (before.anchor.of and now.anchor.of):
        return False
    error = sqrt(before.anchor.error**2 + now.anchor.error**2)
    return before.anchor.share - now.anchor.share > error
