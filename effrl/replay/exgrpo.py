"""ExGRPO's choice of what to replay: groups that about half of the rollouts solved, and none of a solved prompt."""

import json
import random
from collections.abc import Mapping, Sequence
from math import exp
from pathlib import Path

from effrl.batch import Settled, Stored, outcomes_of
from effrl.errors import UserError
from effrl.replay.store import ReplayStore
from effrl.types import Fate


class ExGrpoStore(ReplayStore):
    """A :class:`~effrl.replay.store.ReplayStore` that draws by how many rollouts of a group passed (arXiv 2510.02245).

    Groups of k passes of n are a bucket. A bucket is drawn with a probability in proportion to
    ``exp(-(k - n/2)² / (2 width²))``, whatever its size, and a group of it uniformly, without replacement. Nothing is
    replayed before the mean outcome of a step's fresh rollouts has been above ``start``; groups from before that are
    not kept. A prompt whose group is all right is retired for good: none of its groups is replayed any more.

    The paper grafts one stored success into a fresh group and shapes its weight. Here a whole group is replayed, and
    the loss corrects it as any other: our choice.
    """

    def __init__(self, capacity: int, fresh: int, seed: int, start: float, width: float, screen: int = 0) -> None:
        """Start without groups, and without replay.

        Args:
            capacity: groups to keep.
            fresh: groups that a step usually rolls out.
            seed: root of the draws.
            start: mean outcome above which replay begins.
            width: of the preference for half-solved groups, in rollouts.
            screen: first rollouts of a group, after which it may have been stopped (``rollout.screen``): that so few
                are all right retires no prompt.
        """
        super().__init__(capacity, fresh, seed)
        self._start, self._width, self._screen = start, width, screen
        self._begun = False
        self._retired: set[str] = set()

    def choose(self, count: int, random: random.Random) -> list[int]:
        """Places of up to ``count`` different groups, bucket by bucket."""
        buckets: dict[tuple[float, int], list[int]] = {}
        for place, group in enumerate(self._groups):
            buckets.setdefault(_passes(group), []).append(place)
        for places in buckets.values():
            random.shuffle(places)
        chosen: list[int] = []
        while len(chosen) < count and buckets:
            names = [*buckets]
            [name] = random.choices(names, [preference(*name, self._width) for name in names])
            chosen.append(buckets[name].pop())
            if not buckets[name]:
                del buckets[name]
        return chosen

    def add(self, step: int, settled: Sequence[Settled]) -> None:
        """Retire what is solved, and begin to keep groups once a step has done well enough."""
        outcomes = [outcome for entry in settled for outcome in outcomes_of(entry.scored)]
        self._begun |= bool(outcomes) and sum(outcomes) / len(outcomes) > self._start
        self._retired |= {entry.scored.group.prompt.id for entry in settled if self._solved(entry)}
        kept = [entry for entry in settled if entry.scored.group.prompt.id not in self._retired]
        super().add(step, kept if self._begun else [])
        self._groups = [group for group in self._groups if group.prompt_id not in self._retired]

    def _solved(self, entry: Settled) -> bool:
        """By a true label: a unanimous vote may be wrong, and would be for good."""
        supervision = entry.scored.judged.supervision
        if supervision is None or not supervision.is_true:
            return False
        outcomes = outcomes_of(entry.scored)
        return entry.fate is Fate.FILTERED and len(outcomes) > self._screen and min(outcomes) == 1.0

    def save(self, directory: Path) -> None:
        super().save(directory)
        (directory / "exgrpo.json").write_text(json.dumps({"begun": self._begun, "retired": sorted(self._retired)}))

    def load(self, directory: Path) -> None:
        super().load(directory)
        try:
            told: Mapping[str, object] = json.loads((directory / "exgrpo.json").read_text())
            self._begun, self._retired = bool(told["begun"]), {*map(str, told["retired"])}  # type: ignore[call-overload]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{directory / 'exgrpo.json'} is missing or damaged: resume from another checkpoint"
            ) from error


def preference(passes: float, tries: int, width: float) -> float:
    """``exp(-(passes - tries/2)² / (2 width²))``: 1 for a group of which one half passed."""
    return exp(-((passes - tries / 2) ** 2) / (2 * width**2))


def _passes(group: Stored) -> tuple[float, int]:
    """Passes of a group, and its rollouts that could be scored."""
    outcomes = outcomes_of(group.scored)
    return sum(outcomes), len(outcomes)
