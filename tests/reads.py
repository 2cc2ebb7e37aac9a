"""Groups that were read, by hand."""

from dataclasses import replace

import numpy as np

from effrl.reward.reading import cluster
from effrl.types import Group, Prompt, ReadGroup, Rollout

ROLLOUT = Rollout(np.array([1], np.int32), np.zeros(1, np.float32), "", "stop", 0, 0)


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
    return ReadGroup(group, answers, cluster(answers, str.__eq__))
