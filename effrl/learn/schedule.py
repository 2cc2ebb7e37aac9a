"""The learning rate of a step: a function of its number, so that a resume has nothing to restore."""

import math

from effrl.config.learn import LearnConfig


def learning_rate(config: LearnConfig, step: int, steps: int) -> float:
    """Learning rate of step 1, 2, …, ``steps``.

    The ``warmup`` first steps rise linearly to the step after them, which is the first with ``config.lr``. From there
    ``linear`` and ``cosine`` fall so that step ``steps`` + 1 would have 0: no step is taken in vain.
    """
    if step <= config.warmup:
        return config.lr * step / (config.warmup + 1)
    progress = (step - config.warmup - 1) / (steps - config.warmup)
    match config.schedule:
        case "constant":
            return config.lr
        case "linear":
            return config.lr * (1 - progress)
        case "cosine":
            return config.lr * (1 + math.cos(math.pi * progress)) / 2
