"""From an oracle's reply to the decision on a group."""

from typing import Literal

from effrl.questions import Asked, Label, Question, Refused, Reply
from effrl.types import Decision, Judged, ReadGroup, Supervision


def question_of(read: ReadGroup) -> Question:
    """Ask for the label of a group; its distinct answers go along, the most frequent first."""
    clusters = sorted({cluster for cluster in read.clusters if cluster is not None})
    candidates = (read.answers[read.clusters.index(cluster)] for cluster in clusters)
    return Question(read.group.prompt, tuple(answer for answer in candidates if answer is not None))


def settled_by(reply: Reply, read: ReadGroup, source: Literal["gold", "bought"]) -> Judged:
    """Use the group with its label, park it until that comes, or drop it where none will come."""
    match reply:
        case Label(answer=answer):
            return Judged(read, Decision.USE, Supervision(source, answer))
        case Asked(query=query):
            return Judged(read, Decision.PARK, reason=f"asked: {query}")
        case Refused(reason=reason):
            return Judged(read, Decision.DROP, reason=f"no label: {reason}")
