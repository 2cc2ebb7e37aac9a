"""Rollout replay: recent groups with signal are learned from again, beside fewer fresh ones.

DOTS + RR (arXiv 2506.05316, section 4.4). A step rolls out a share of its prompts and draws the rest from here. Groups
keep the log-probs of the policy that sampled them; the loss corrects for how far the policy has moved since
(:mod:`effrl.loss.importance`).
"""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from math import floor
from pathlib import Path
from typing import Annotated

from pydantic import Field

from effrl.batch import Settled
from effrl.errors import UserError
from effrl.kinds import Clip
from effrl.section import PositiveInt, Section
from effrl.seeds import stream
from effrl.stored import read_groups, write_groups
from effrl.types import Fate, Stored


class ReplayConfig(Section):
    """Learn from groups of earlier steps again, and roll out fewer."""

    fresh: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of a step's prompts that is rolled out (the paper's delta); older groups stand in for the rest."""
    capacity: PositiveInt = 512
    """Groups to keep, the latest step's included; the paper has 256 or 512, its released script 512."""
    warmup: Annotated[int, Field(ge=0)] = 2
    """First steps, which roll out all prompts; the released code's first round of selection has two."""
    clip: Clip = "centered"
    """Interval of the clip: around a token's importance weight (released code), or, as in the paper, around 1."""

    def check(self, prompts: int, steps: int, loss: str, advantage: str) -> None:
        """Does it fit the rest of the config: prompts per step, steps, and the kinds of loss and advantage?

        Raises:
            ValueError: one line with a remedy.
        """
        fresh = fresh_of(prompts, self.fresh)
        if fresh == prompts:
            raise ValueError(
                f"replay.fresh ({self.fresh}) of rollout.prompts ({prompts}) leaves no group to replay: raise"
                " rollout.prompts"
            )
        if self.capacity < fresh:
            raise ValueError(
                f"replay.capacity ({self.capacity}) is less than the {fresh} groups that a step rolls out, and those"
                " stay until the next: raise it"
            )
        if self.warmup >= steps:
            raise ValueError(
                f"replay.warmup ({self.warmup}) leaves no step of run.steps ({steps}) that replays: lower it"
            )
        if self.clip == "paper" and loss != "clipped":
            raise ValueError(f"replay.clip=paper is about loss.kind=clipped, not {loss}: set replay.clip=centered")
        if advantage == "gae":
            raise ValueError(
                "replay would fit the value function of advantage.kind=gae to rollouts of older policies: use grpo,"
                " rloo or reinforce_pp, or set replay=null"
            )


def fresh_of(prompts: int, fresh: float) -> int:
    """How many of a step's ``prompts`` are rolled out, rounded down, but at least one; the others are replayed."""
    return max(1, floor(fresh * prompts + 1e-9))


def fresh_at(step: int, prompts: int, fresh: float, warmup: int) -> int:
    """The same at ``step``, from 1 on: all prompts in the first ``warmup`` steps, while there is little to replay.

    The paper's code has one selection round of warm-up, two steps: of 512 prompts, half of them fresh, it rolls out
    512, 512, 256, 256, …
    """
    return prompts if step <= warmup else fresh_of(prompts, fresh)


class ReplayStore:
    """The newest groups with signal, at most one per prompt, oldest first.

    Groups are drawn uniformly and stay until newer ones take their place, so one may be replayed several times. A
    group of all right or all wrong rollouts never enters, but takes an older group of its prompt along: what was
    learnable then no longer is.

    ``capacity`` counts groups after a step with ``fresh`` new ones: as in the paper's code, ``capacity - fresh`` old
    ones are kept beside whatever a step brings, and the first steps, which roll out everything, bring more.
    """

    def __init__(self, capacity: int, fresh: int, seed: int) -> None:
        """Nothing is stored.

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
        chosen = _choose(len(self._groups), count, stream(self._seed, "replay", step))
        for index in chosen:
            self._groups[index] = replace(self._groups[index], uses=self._groups[index].uses + 1)
        return [self._groups[index] for index in chosen]

    def add(self, step: int, settled: Sequence[Settled]) -> None:
        """Take in a step's fresh groups, whatever became of them; call it once per step, after :meth:`draw`.

        The oldest make room. Of two groups of one prompt the newer stays, and if that has no signal, neither.
        """
        known = [entry for entry in settled if entry.fate in (Fate.TRAINED, Fate.FILTERED)]
        newest = {entry.scored.group.prompt.id: entry for entry in known}
        old = self._groups[-self._kept :] if self._kept else []
        self._groups = [group for group in old if group.prompt_id not in newest]
        self._groups += [Stored(entry.scored, step) for entry in newest.values() if entry.fate is Fate.TRAINED]

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


def _choose(size: int, count: int, random: random.Random) -> list[int]:
    return sorted(random.sample(range(size), min(count, size)))
