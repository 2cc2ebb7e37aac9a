"""From an oracle's reply to the decision on a group."""

from typing import Literal

from effrl.questions import Asked, Label, Question, Refused, Reply
from effrl.types import Decision, Judged, ReadGroup, Supervision


def question_of(read: ReadGroup, priority: float = 0.0) -> Question:
    """Ask for the label of a group; its distinct answers go along, the most frequent first, with a solution each."""
    clusters = sorted({cluster for cluster in read.clusters if cluster is not None})
    firsts = [read.clusters.index(cluster) for cluster in clusters]
    candidates = tuple(answer for answer in (read.answers[first] for first in firsts) if answer is not None)
    return Question(read.group.prompt, candidates, tuple(read.group.rollouts[first].text for first in firsts), priority)


def settled_by(reply: Reply, read: ReadGroup, source: Literal["gold", "bought"]) -> Judged:
    """Use the group with its label, park it until that comes, or drop it where none will come."""
    match reply:
        case Label(answer=answer, weight=weight):
            return Judged(read, Decision.USE, Supervision(source, answer, weight=weight))
        case Asked(query=query):
            return Judged(read, Decision.PARK, reason="asked", query=query)
        case Refused(reason=reason):
            return Judged(read, Decision.DROP, reason=f"no label: {reason}")
