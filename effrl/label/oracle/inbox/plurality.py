"""When several people have answered: the label, one opinion more, or nobody's."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Poll:
    """What so many answers come to."""

    label: str | None = None
    """The answer that more people gave than any other."""
    more: bool = False
    """Whether one person more is to be asked."""


def poll(answers: Sequence[str], opinions: int) -> Poll:
    """The strict plurality of at least ``opinions`` answers; a tie asks one more, up to ``2 * opinions + 1`` in all.

    Example: of three, ``poll(["46", "46", "45"], 3)`` is ``Poll("46")``, and ``poll(["46", "45"], 2)`` wants one more.
    """
    if len(answers) < opinions:
        return Poll(more=True)
    ranked = Counter(answers).most_common(2)
    if len(ranked) == 1 or ranked[0][1] > ranked[1][1]:
        return Poll(ranked[0][0])
    return Poll(more=len(answers) < 2 * opinions + 1)
