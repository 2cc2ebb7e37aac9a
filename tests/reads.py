"""Groups that were read, steps and purchases, by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from effrl.batch import Settled
from effrl.questions import Label, Question, Refused, Reply
from effrl.reward.reading import by_text, clusters
from effrl.types import Group, Prompt, ReadGroup, Rollout, Step

ROLLOUT = Rollout(np.array([1], np.int32), np.zeros(1, np.float32), "", "stop", 0, 0)


def step_of(number: int, of: int = 60) -> Step:
    """A step of a run that is one stage."""
    return Step(number, "train", number, of)


def replies(labels: Sequence[str | None]) -> list[Reply]:
    """What an oracle answers that has some of the labels."""
    return [Refused("the budget is spent") if label is None else Label(label) for label in labels]


def ids_of(questions: Sequence[Question]) -> list[str]:
    """The prompts that were asked about."""
    return [question.prompt.id for question in questions]


def unread(group: Group) -> ReadGroup:
    """A group whose reward cannot tell answers."""
    nothing = (None,) * len(group.rollouts)
    return ReadGroup(group, nothing, nothing)


def answered(name: str, *answers: str | None) -> ReadGroup:
    """The group of prompt ``name`` whose rollouts gave these answers; None was cut off."""
    rollouts = tuple(
        replace(ROLLOUT, text=f"#{answer}" if answer else "", finish_reason="stop" if answer else "length")
        for answer in answers
    )
    group = Group(name, Prompt(name, "?"), np.array([4], np.int32), rollouts)
    return ReadGroup(group, answers, *clusters([(name, answers)], by_text))


class Blind:
    """A monitor of a run that has no labels to look at."""

    async def gaps(self, groups: Sequence[ReadGroup]) -> list[float]:
        return [0.0 for _ in groups]

    async def metrics(self, settled: Sequence[Settled]) -> Mapping[str, float]:
        return {}
