"""Votes train while their prompt's pass rates move like those of prompts with a label (TraPO, arXiv 2512.13106)."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrl.batch import Settled, outcomes_of
from effrl.config.rest import TrapoRest
from effrl.label.care.features import cluster_sizes
from effrl.label.care.records import Lesson
from effrl.label.halves import Candidate, Left, Trust
from effrl.label.vote import NO_VOTE, majority
from effrl.run.files import written
from effrl.saved import Saved
from effrl.types import Fate, ReadGroup, ScoredGroup, Step, Supervision, Want

SHORTEST = 3
"""Visits below which a history moves like any other."""
_FILE = "pass_rates.json"
_TIE = "two answers have equally many votes"
_TOO_EARLY = "too few of its pass rates are noted to compare them, or of labelled prompts"


@dataclass
class TrapoFilter:
    """A :class:`~effrl.label.halves.Filter` by the histories of pass rates, one number per visit of a prompt.

    A prompt with a label passes as often as it is right; one without, as often as it agrees with its majority, and 0
    times where two answers have equally many votes. Histories are compared on the visits that both have.
    """

    config: TrapoRest
    labelled: dict[str, list[float]] = field(default_factory=dict)
    """By prompt id, of prompts with a label."""
    voted: dict[str, list[float]] = field(default_factory=dict)
    """By prompt id, of all others."""
    trained: set[str] = field(default_factory=set)
    """Prompt ids whose vote was trained on: they refer as labelled ones do."""
    name = "filter"
    wants: frozenset[Want] = frozenset()

    def trust(self, step: Step, candidates: Sequence[Candidate], groups: int) -> list[Trust]:
        """The mean correlation with those who refer; None during the warm-up, and where nobody refers."""
        return [Trust(self._score(entry.prompt_id)) for entry in candidates]

    def judge(self, step: Step, left: Sequence[Left]) -> list[Supervision | str]:
        used = self._used(left)
        return [self._judge(entry, entry.candidate.prompt_id in used) for entry in left]

    def learn(self, step: Step, settled: Sequence[Settled], lesson: Lesson) -> Mapping[str, float]:
        """Note the pass rates of a step; true ones are known only now."""
        for entry in settled:
            if entry.fate not in (Fate.PARKED, Fate.FAILED):
                self._note(entry.scored)
        return {"label/reference": float(len(self.labelled.keys() | self.trained))}

    async def save(self, into: Path) -> Saved:
        known = {"labelled": self.labelled, "voted": self.voted, "trained": sorted(self.trained)}
        path = into / _FILE
        await asyncio.to_thread(path.write_text, json.dumps(known))
        return Saved(await asyncio.to_thread(written, into, [path]), {})

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        known = json.loads(await asyncio.to_thread((path / _FILE).read_text))
        self.labelled, self.voted, self.trained = known["labelled"], known["voted"], set(known["trained"])

    def _note(self, scored: ScoredGroup) -> None:
        prompt_id, supervision = scored.group.prompt.id, scored.judged.supervision
        if supervision is not None and supervision.is_true:
            outcomes = outcomes_of(scored)
            self.labelled.setdefault(prompt_id, []).append(float(np.mean(outcomes)))
            return
        self.voted.setdefault(prompt_id, []).append(agreement(scored.judged.read))
        if supervision is not None:
            self.trained.add(prompt_id)

    def _score(self, prompt_id: str) -> float | None:
        history = self.voted.get(prompt_id, [])
        if len(history) < max(self.config.warmup, SHORTEST):
            return None
        return likeness(history, self._members(prompt_id))

    def _members(self, prompt_id: str) -> list[list[float]]:
        """Histories that a prompt's is compared with, its own left out."""
        others = [name for name in self.trained if name != prompt_id and name not in self.labelled]
        return [*self.labelled.values(), *(self.voted[name] for name in sorted(others))]

    def _used(self, left: Sequence[Left]) -> set[str]:
        """Prompt ids of the votes that may train: the best of the step, and whoever is good enough."""
        scored = [(-entry.trust.score, entry.candidate.prompt_id) for entry in left if entry.trust.score is not None]
        best = sorted(scored)[: places(self.config.top, len(left))]
        return {name for _, name in best} | {name for score, name in scored if -score >= self.config.threshold}

    def _judge(self, left: Left, used: bool) -> Supervision | str:
        if (vote := majority(left.candidate.read)) is None:
            return NO_VOTE
        if tied(left.candidate.read):
            return _TIE
        if left.trust.score is None:
            return _TOO_EARLY
        return vote if used else "its pass rates do not move like those of labelled prompts"


def places(top: float, groups: int) -> int:
    """Groups of a step that may train whatever their score is: at least one."""
    return max(1, floor(top * groups + 1e-9))


def tied(read: ReadGroup) -> bool:
    """Whether two answers have the most votes."""
    sizes = cluster_sizes(read)
    return len(sizes) > 1 and sizes[0] == sizes[1]


def agreement(read: ReadGroup) -> float:
    """The pass rate of a group without a label."""
    return 0.0 if tied(read) else read.majority_share


def likeness(history: Sequence[float], members: Sequence[Sequence[float]]) -> float | None:
    """Mean correlation of a history with those of the members, each on the visits that both have.

    Members that are too short or constant say nothing and are left out: a share q of constant ones would bound every
    score by 1 - q, and prompts become constant when they are mastered. A constant history has the score 0.

    Returns:
        None where no member is left.
    """
    by_length = defaultdict(list)
    for member in members:
        by_length[min(len(member), len(history))].append(member)
    found = [
        correlations(np.array(history[:length]), np.array([member[:length] for member in group]))
        for length, group in by_length.items()
        if length >= SHORTEST
    ]
    every = np.concatenate(found) if found else np.empty(0)
    return float(every.mean()) if len(every) else None


def correlations(history: NDArray[np.float64], members: NDArray[np.float64]) -> NDArray[np.float64]:
    """[members that vary] Pearson's correlation of a history [visits] with each of the members [members, visits]."""
    varied = members[members.std(1) > 0]
    rows = varied - varied.mean(1, keepdims=True)
    own = history - history.mean()
    if not own.any():
        return np.zeros(len(rows))
    alike: NDArray[np.float64] = (rows @ own) / (np.linalg.norm(rows, axis=1) * np.linalg.norm(own))
    return alike
