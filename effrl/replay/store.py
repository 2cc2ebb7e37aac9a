"""Rollout replay: recent groups with signal are learned from again, beside fewer fresh ones.

DOTS + RR (arXiv 2506.05316, section 4.4). A step rolls out a share of its prompts and draws the rest from here. Groups
keep the log-probs of the policy that sampled them; the loss corrects for how far the policy has moved since
(:mod:`effrl.loss.importance`).
"""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from effrl.batch import Settled, Stored
from effrl.errors import UserError
from effrl.run.archive import read_groups, write_groups
from effrl.seeds import stream
from effrl.types import Fate


class ReplayStore:
    """The newest groups with signal, at most one per prompt, oldest first.

    Groups are drawn uniformly and stay until newer ones take their place, so one may be replayed several times. A
    group of all right or all wrong rollouts never enters, but takes an older group of its prompt along: what was
    learnable then no longer is.

    ``capacity`` counts groups after a step with ``fresh`` new ones: as in the paper's code, ``capacity - fresh`` old
    ones are kept beside whatever a step brings, and the first steps, which roll out everything, bring more.
    """

    def __init__(self, capacity: int, fresh: int, seed: int) -> None:
        """Start without groups.

        Args:
            capacity: groups to keep.
            fresh: groups that a step usually rolls out (:func:`fresh_of`).
            seed: root of the draws.
        """
        self._kept = max(0, capacity - fresh)
        self._seed = seed
        self._groups: list[Stored] = []

    @property
    def groups(self) -> tuple[Stored, ...]:
        """All groups, oldest first."""
        return tuple(self._groups)

    def draw(self, step: int, count: int) -> list[Stored]:
        """Up to ``count`` groups of earlier steps, uniformly without replacement; fewer where there are not as many.

        They are in order of age, so that packing does not depend on the draw. The draw depends on the seed, the step
        and what is stored alone: a step that a resume repeats draws the same.

        Raises:
            ValueError: ``count`` is negative, or groups of this very step are stored already.
        """
        if count < 0:
            raise ValueError(f"cannot draw {count} groups")
        if any(group.step >= step for group in self._groups):
            raise ValueError(f"step {step} would replay its own groups: draw before they are added")
        chosen = sorted(self.choose(count, stream(self._seed, "replay", step)))
        for index in chosen:
            self._groups[index] = replace(self._groups[index], uses=self._groups[index].uses + 1)
        return [self._groups[index] for index in chosen]

    def add(self, step: int, settled: Sequence[Settled]) -> None:
        """Take in a step's fresh groups, whatever became of them; call it once per step, after :meth:`draw`.

        The oldest make room. Of two groups of one prompt the newer stays, and if that has no signal, neither.
        """
        known = [entry for entry in settled if entry.fate in (Fate.TRAINED, Fate.FILTERED, Fate.UNBALANCED)]
        newest = {entry.scored.group.prompt.id: entry for entry in known}
        old = self._groups[-self._kept :] if self._kept else []
        self._groups = [group for group in old if group.prompt_id not in newest]
        self._groups += [Stored(entry.scored, step) for entry in newest.values() if entry.fate is Fate.TRAINED]

    def choose(self, count: int, random: random.Random) -> list[int]:
        """Places of up to ``count`` different groups."""
        return random.sample(range(len(self._groups)), min(count, len(self._groups)))

    def save(self, directory: Path) -> None:
        """Write all groups, with tokens and log-probs, to a directory of a checkpoint."""
        directory.mkdir(parents=True, exist_ok=True)
        write_groups(directory / "groups.npz", [group.scored for group in self._groups])
        (directory / "replay.json").write_text(json.dumps([[group.step, group.uses] for group in self._groups]))

    def load(self, directory: Path) -> None:
        """Store what :meth:`save` wrote, and nothing else.

        Raises:
            UserError: a file is missing or damaged.
        """
        scored = read_groups(directory / "groups.npz")
        try:
            told = json.loads((directory / "replay.json").read_text())
            self._groups = [Stored(group, step, uses) for group, (step, uses) in zip(scored, told, strict=True)]
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"{directory / 'replay.json'} is missing or damaged: resume from another checkpoint"
            ) from error
