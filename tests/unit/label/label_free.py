"""From answers to advantages, on the way that a run takes."""

import numpy as np
from reads import answered, step_of

from effrl.advantage.grpo import grpo_advantages
from effrl.protocols import Labeller
from effrl.reward.reading import membership
from effrl.types import Float32, Judged, View


async def judged(labeller: Labeller, *answers: str | None) -> Judged:
    """The decision on a group with these answers."""
    [found] = await labeller.assign(step_of(1), [answered("p", *answers)], [View()])
    return found


async def advantages(labeller: Labeller, std: str, *answers: str | None) -> Float32:
    """[n] of a group that is in use."""
    found = await judged(labeller, *answers)
    assert found.supervision is not None, found.reason
    rewards = np.array([score.reward for score in membership(found)], np.float32)
    estimated = grpo_advantages(rewards, std) + found.supervision.offset  # type: ignore[arg-type]
    return np.asarray(found.supervision.weight * estimated, np.float32)
