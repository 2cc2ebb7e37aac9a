"""From a config's ``advantage`` section to the function it names."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from effrl import plugins
from effrl.advantage.grpo import grpo_advantages
from effrl.advantage.reinforce_pp import reinforce_pp_advantages
from effrl.advantage.rloo import rloo_advantages
from effrl.batch import AdvantageFunction
from effrl.config.advantage import (
    AnyAdvantage,
    GaeAdvantage,
    GrpoAdvantage,
    PluginAdvantage,
    ReinforcePpAdvantage,
    RlooAdvantage,
)
from effrl.errors import RunError, one_line
from effrl.types import Float32


def advantages(config: AnyAdvantage) -> AdvantageFunction:
    """The advantage function of a run.

    Raises:
        UserError: a function of the user's own cannot be loaded.
    """
    match config:
        case GrpoAdvantage(std=std):
            return _group_by_group(partial(grpo_advantages, std=std))
        case RlooAdvantage():
            return _group_by_group(rloo_advantages)
        case ReinforcePpAdvantage():
            return reinforce_pp_advantages
        case GaeAdvantage():
            return list  # the learner makes advantages of rewards: it alone has the values
        case PluginAdvantage(kind=kind):
            return _checked(kind, plugins.load("advantage.kind", kind))


def _group_by_group(function: Callable[[Float32], Float32]) -> AdvantageFunction:
    return lambda rewards: [function(group) for group in rewards]


def _checked(kind: str, function: AdvantageFunction) -> AdvantageFunction:
    """A NaN would ruin the model for good, and a wrong length would reward the wrong rollout: both end the run."""

    def checked(rewards: Sequence[Float32]) -> list[Float32]:
        try:
            found = [np.asarray(values, np.float32) for values in function(rewards)]
        except Exception as error:  # the function is the user's: it can raise anything
            raise RunError(f"advantage.kind {kind!r} failed: {one_line(error)}") from error
        expected, shapes = [group.shape for group in rewards], [values.shape for values in found]
        if shapes != expected:
            raise RunError(f"advantage.kind {kind!r} returned shapes {shapes} for rewards of shapes {expected}")
        if not all(np.isfinite(values).all() for values in found):
            raise RunError(f"advantage.kind {kind!r} returned advantages that are not finite")
        return found

    return checked
