"""Advantage functions as a user may write them, good and bad."""

import numpy as np


def best_of_step(rewards):
    """Lists are as good as arrays."""
    best = max(max(group) for group in rewards)
    return [[float(reward - best) for reward in group] for group in rewards]


def too_few(rewards):
    return [group[1:] for group in rewards]


def no_groups(rewards):
    return []


def not_finite(rewards):
    return [np.full(len(group), np.nan) for group in rewards]


def failing(rewards):
    return 1 / 0


def text(rewards):
    return [["good"] * len(group) for group in rewards]
