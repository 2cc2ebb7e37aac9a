"""Pseudo-labels by majority vote over a group's own rollouts (TTRL, arXiv 2504.16084)."""

from effrl.types import ReadGroup, Supervision

NO_VOTE = "no answer to vote on"
"""Why a group is dropped that has none."""


def majority(read: ReadGroup) -> Supervision | None:
    """The largest cluster's answer; of equals the one that occurs first. None where no rollout has an answer."""
    return None if read.voted is None else Supervision("vote", read.voted, cluster=0)
