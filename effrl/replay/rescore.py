"""Replayed groups whose label was bought since: before they are learned from, the truth replaces their pseudo-label."""

from collections.abc import Sequence
from dataclasses import replace

from effrl.batch import Stored
from effrl.protocols import Oracle, Rewards
from effrl.questions import Label
from effrl.types import Judged, Step, Supervision


async def rescored(step: Step, groups: Sequence[Stored], oracle: Oracle, rewards: Rewards) -> list[Stored]:
    """The groups in order; of those that a pseudo-label supervised, the ones whose label is owned are scored anew.

    Nothing is bought: owned labels cost nothing.
    """
    pseudo = [stored.scored.judged for stored in groups if not _supervision(stored.scored.judged).is_true]
    labels = await oracle.owned(step, [judged.group.prompt.id for judged in pseudo]) if pseudo else []
    owned = [(judged, label) for judged, label in zip(pseudo, labels, strict=True) if isinstance(label, Label)]
    if not owned:
        return list(groups)
    corrected = [
        replace(judged, supervision=Supervision("bought", label.answer, weight=label.weight)) for judged, label in owned
    ]
    scored = {entry.group.id: entry for entry in await rewards.outcome(corrected)}
    return [replace(stored, scored=scored.get(stored.scored.group.id, stored.scored)) for stored in groups]


def _supervision(judged: Judged) -> Supervision:
    assert judged.supervision is not None, "what is stored was learned from"
    return judged.supervision
