"""Advantage functions as a user may write them, good and bad."""

import numpy as np


def best_of_step(groups):
    """A number for each rollout is as good as an array of one."""
    best = max(max(group.outcome) for group in groups)
    return [[float(reward - best) for reward in group.outcome] for group in groups]


def rewards_to_come(groups):
    """A number for each token: the process rewards from it on, and the outcome."""
    return [
        [outcome + np.cumsum(row.values[::-1])[::-1] for outcome, row in zip(group.outcome, group.tokens, strict=True)]
        for group in groups
    ]


def too_few(groups):
    return [[0.0] * (len(group.outcome) - 1) for group in groups]


def no_groups(groups):
    return []


def of_no_token(groups):
    return [[np.zeros(length + 1) for length in group.lengths] for group in groups]


def not_finite(groups):
    return [np.full(len(group.outcome), np.nan) for group in groups]


def failing(groups):
    return 1 / 0


def text(groups):
    return [["good"] * len(group.outcome) for group in groups]
