"""What the probes remember: groups whose true label is known, as they saw them then."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np
from numpy.typing import NDArray

from effrl.batch import Settled
from effrl.label.care.features import Features


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """A group and what its label showed."""

    features: Features
    right: NDArray[np.bool_]
    """[n] whether each rollout is right."""
    vote_right: bool
    others_right: int
    """Right rollouts outside the majority; 0 where the vote is right."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a step taught: its own records, and those of earlier steps."""

    own: Sequence[ProbeRecord] = ()
    earlier: Sequence[ProbeRecord] = ()


def record_of(settled: Settled, features: Features) -> ProbeRecord:
    """A record of a group that was scored against its true label."""
    right = np.array([score.right for score in settled.scored.scores])
    return ProbeRecord(features, right, *truth(settled.scored.judged.read.clusters, right))


def truth(clusters: Sequence[int | None], right: Iterable[bool]) -> tuple[bool, int]:
    """Whether the vote is right, and how many rollouts outside the majority are; none where the vote is.

    A cluster is right if one of its members is: the verifier may be stricter with one way of writing than with another.
    """
    of_right = {cluster for cluster, found in zip(clusters, right, strict=True) if found}
    if 0 in of_right:
        return True, 0
    return False, sum(cluster is not None and cluster in of_right for cluster in clusters)


@dataclass
class ProbeMemory:
    """The newest records, first in, first out."""

    capacity: int
    records: list[ProbeRecord] = field(default_factory=list)

    def add(self, records: Sequence[ProbeRecord]) -> None:
        self.records = [*self.records, *records][-self.capacity :]


def uniform(records: Sequence[ProbeRecord], count: int, draw: Random) -> list[ProbeRecord]:
    """Some records at random, all of them where there are no more."""
    return [records[place] for place in _some(range(len(records)), count, draw)]


def stratified(records: Sequence[ProbeRecord], count: int, draw: Random) -> list[ProbeRecord]:
    """The same, but an equal share of every number of right rollouts; what is left of a share goes to any."""
    by_class: dict[int, list[int]] = defaultdict(list)
    for place, record in enumerate(records):
        by_class[record.others_right].append(place)
    quota = max(1, count // max(1, len(by_class)))
    chosen = [place for right in sorted(by_class) for place in _some(by_class[right], quota, draw)][:count]
    others = sorted(set(range(len(records))) - set(chosen))
    return [records[place] for place in (*chosen, *_some(others, count - len(chosen), draw))]


def _some(places: Sequence[int], count: int, draw: Random) -> list[int]:
    return draw.sample(places, min(count, len(places)))
