"""How good a step's decisions were, by labels that nobody bought. Numbers leave the oracle's process, labels do not.

The metrics are those that RLAVR/CARE logs. They only ever reach reports.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from effrl.batch import Settled
from effrl.label.cag import advantage_gap
from effrl.label.care.records import truth
from effrl.types import LabelSource, ReadGroup

PREFIXES = {"05": 0.05, "10": 0.1}
"""Shares of the ranking whose overlap with the true one is measured, besides what was bought."""
EQUAL = 1e-9
"""Gaps that differ by less are the same, summed in another order."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A group as the monitor is told of it; rollouts that the engine failed are not in it."""

    group_id: str
    prompt_id: str
    meta: Mapping[str, Any]
    completions: tuple[str, ...]
    truncated: tuple[bool, ...]
    clusters: tuple[int | None, ...]
    source: LabelSource | None = None
    """What it was supervised by; None where it was dropped."""
    grounds: Mapping[str, float] = field(default_factory=dict)
    """What the decision went by; groups that were owned were not ranked, and have no score."""
    right: tuple[bool, ...] | None = None
    """Which rollouts are right, where they were scored by their label."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A group, and which of its rollouts are right."""

    group: Watched
    right: tuple[bool, ...]

    @property
    def vote_right(self) -> bool:
        return truth(self.group.clusters, self.right)[0]

    @property
    def others_right(self) -> int:
        """Right rollouts outside the majority; 0 where the vote is right."""
        return truth(self.group.clusters, self.right)[1]

    @property
    def gap(self) -> float:
        """The true corrective advantage gap."""
        return advantage_gap(self.right, [cluster == 0 for cluster in self.group.clusters])

    @property
    def score(self) -> float:
        return self.group.grounds["score"]


def watched(read: ReadGroup) -> Watched:
    """A group of which nothing is decided yet."""
    there = [place for place, rollout in enumerate(read.group.rollouts) if not rollout.failed]
    rollouts = [read.group.rollouts[place] for place in there]
    return Watched(
        group_id=read.group.id,
        prompt_id=read.group.prompt.id,
        meta=read.group.prompt.meta,
        completions=tuple(rollout.text for rollout in rollouts),
        truncated=tuple(rollout.finish_reason == "length" for rollout in rollouts),
        clusters=tuple(read.clusters[place] for place in there),
    )


def told(settled: Settled) -> Watched:
    """A group at the end of its step."""
    judged, scores = settled.scored.judged, settled.scored.scores
    supervision = judged.supervision
    source = None if supervision is None else supervision.source
    group = replace(watched(judged.read), source=source, grounds=judged.grounds)
    if supervision is None or not supervision.is_true:
        return group
    there = [score for score, rollout in zip(scores, judged.group.rollouts, strict=True) if not rollout.failed]
    right = tuple(score.right for score in there)
    return replace(group, right=right, completions=())


def metrics(groups: Sequence[Compared]) -> dict[str, float]:
    """Every metric that has something to be measured on."""
    can_vote = any(0 in group.group.clusters for group in groups)  # else the reward cannot tell answers
    ranked = [group for group in groups if "score" in group.group.grounds]
    voted = [group for group in groups if group.group.source == "vote"]
    bought = [group for group in ranked if group.group.source == "bought"]
    return {
        **_mean("label/vote_accuracy", [group.vote_right for group in groups if can_vote]),
        **_gate(ranked),
        **_mean("monitor/pseudo_accuracy", list(_agreements(voted))),
        **_recalls([group for group in ranked if "right" in group.group.grounds]),
        **_ranking(ranked, len(bought)),
        **_mean("monitor/bought_vote_right", [group.vote_right for group in bought]),
        **_mean("monitor/bought_all_wrong", [not any(group.right) for group in bought]),
    }


def _mean(name: str, found: Sequence[float]) -> dict[str, float]:
    return {name: float(np.mean(found))} if found else {}


def _agreements(voted: Sequence[Compared]) -> Iterator[bool]:
    """Of each rollout that was rewarded by a vote: whether its label would have said the same."""
    for group in voted:
        for cluster, right in zip(group.group.clusters, group.right, strict=True):
            yield (cluster == 0) == right


def _gate(ranked: Sequence[Compared]) -> dict[str, float]:
    """Training on a vote as a prediction that it is right."""
    passed = [group.vote_right for group in ranked if group.group.source == "vote"]
    if not passed:
        return {}
    hits, right = sum(passed), sum(group.vote_right for group in ranked)
    precision, recall = hits / len(passed), hits / right if right else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"monitor/gate_precision": precision, "monitor/gate_recall": recall, "monitor/gate_f1": f1}


def _recalls(predicted: Sequence[Compared]) -> dict[str, float]:
    """Mean over the true numbers of right rollouts of the share that was predicted; of all, and of all but 0."""
    found: dict[int, list[bool]] = defaultdict(list)
    for group in predicted:
        found[group.others_right].append(round(group.group.grounds["right"]) == group.others_right)
    shares = {right: sum(hits) / len(hits) for right, hits in found.items()}
    return {
        **_mean("monitor/count_recall", list(shares.values())),
        **_mean("monitor/count_recall_positive", [share for right, share in shares.items() if right > 0]),
    }


def _ranking(ranked: Sequence[Compared], bought: int) -> dict[str, float]:
    """How much of the best the ranking has at its top, and how much of what could be corrected was bought."""
    order = sorted(ranked, key=lambda group: (-group.score, group.group.prompt_id))
    gaps = sorted((group.gap for group in ranked), reverse=True)
    tops = {name: int(np.ceil(share * len(ranked) - 1e-9)) for name, share in PREFIXES.items()}
    found = {
        f"monitor/top_overlap_{name}": sum(group.gap >= gaps[count - 1] - EQUAL for group in order[:count]) / count
        for name, count in {**tops, "budget": bought}.items()
        if count
    }
    if possible := sum(gaps[:bought]):
        paid = sum(group.gap for group in ranked if group.group.source == "bought")
        found["monitor/gap_captured"] = paid / possible
    return found
