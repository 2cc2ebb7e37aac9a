"""Is the reward of largest size at the token at which a wrong solution leaves the right one?

    python -m tests.bench.prm.branch --rollouts /tmp/prm --family chain --seeds 3-7

It reads what ``tests.bench.prm.offline`` left beside the rollouts: rewards of groups that the PRM had not learned from
yet, in the second half of the run. Two controls: a PRM that learned shuffled labels, and the token's surprise under the
initial model, since a token that could well have been another one moves most whatever is learned.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from effrl.tasks.problem import Problem
from effrl.types import Float32
from tests.bench.prm.decided import Place, branch, places, problems_of
from tests.bench.prm.pairs import area
from tests.bench.prm.record import RESULTS, config_of, folder_of, parser_of
from tests.bench.prm.recorded import Recorded, read_steps

ARMS = ("online", "frozen", "shuffled", "surprise")


@dataclass(frozen=True, slots=True)
class Solution:
    """A rollout with its rewards by arm, [T] each."""

    right: bool
    left: int | None
    """The token at which it leaves the right solution, if it does."""
    places: Sequence[Place]
    """Where it decides."""
    rewards: Mapping[str, Float32]


def located(values: Float32, token: int) -> dict[str, float]:
    """How one token stands out among T by the size of its reward; with what a random token would have.

    Example: of rewards 0.1, -0.3, 0.2 the second is the largest, the lowest, and has 0.64 of the squares.
    """
    size = np.abs(values.astype(np.float64))
    ahead = int((size > size[token]).sum())
    squares = float((size**2).sum())
    return {
        "largest": float(ahead == 0),
        "among_3": float(ahead < 3),
        "lowest": float(values[token] == values.min()),
        "negative": float(values[token] < 0),
        "squares": float(size[token] ** 2) / squares if squares > 0 else 0.0,
        "chance": 1 / len(values),
        "chance_3": min(3, len(values)) / len(values),
    }


def solutions(
    groups: Sequence[Recorded], kept: Mapping[str, Float32], known: Mapping[str, Problem], family: str
) -> list[Solution]:
    """The rollouts of one step."""
    lengths = [length for group in groups for length in group.lengths]
    rows = {arm: np.split(kept[arm], np.cumsum(lengths)[:-1]) for arm in kept}
    found = []
    for group in groups:
        problem = known[group.prompt]
        for text, outcome in zip(group.texts, group.outcomes, strict=True):
            rewards = {arm: rows[arm][len(found)] for arm in rows if arm != "reference"}
            rewards["surprise"] = -rows["reference"][len(found)]
            way = branch(problem, text), places(family, problem, text)
            found.append(Solution(bool(outcome > 0.5), *way, rewards))
    return found


def wrong_ways(wrong: Solution) -> Iterator[tuple[str, int]]:
    """Where a wrong solution leaves the right one, and in which way: by ``misreading`` or by another ``slip``."""
    if wrong.left is None or wrong.left >= len(wrong.rewards["surprise"]):
        return
    misread = any(place.token == wrong.left and place.right is False for place in wrong.places)
    yield "all", wrong.left
    yield "misreading" if misread else "slip", wrong.left


def measured(found: Sequence[Solution], arm: str) -> dict[str, Any]:
    """Means over wrong solutions by the way in which they err, and whether decisions are told apart."""
    of_way: dict[str, list[dict[str, float]]] = defaultdict(list)
    for wrong in (solution for solution in found if not solution.right):
        for way, token in wrong_ways(wrong):
            of_way[way].append(located(wrong.rewards[arm], token))
    means = {way: {"solutions": len(rows), **_means(rows)} for way, rows in of_way.items()}
    return {"wrong": means, "decisions": decisions(found, arm)}


def decisions(found: Sequence[Solution], arm: str) -> dict[str, float | None]:
    """Area under the curve of the rewards of deciding tokens, right against wrong; of all, and in wrong solutions."""
    marks = [
        (float(place.right), float(solution.rewards[arm][place.token]), solution.right)
        for solution in found
        for place in solution.places
        if place.right is not None
    ]
    in_wrong = [mark for mark in marks if not mark[2]]
    return {"area": _area(marks), "area_in_wrong": _area(in_wrong), "count": len(marks), "in_wrong": len(in_wrong)}


def _area(marks: Sequence[tuple[float, float, bool]]) -> float | None:
    return area(np.array([mark[0] for mark in marks], np.float32), np.array([mark[1] for mark in marks]))


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def run(rollouts: Path, family: str, seed: int, out: Path) -> None:
    config, folder = config_of(family, seed), folder_of(rollouts, family, seed)
    known, found = problems_of(config), list[Solution]()
    for number, groups in enumerate(read_steps(folder), start=1):
        if groups and 2 * number > config.run.steps:
            with np.load(folder / f"rewards_{number:04}.npz") as kept:
                found += solutions(groups, dict(kept), known, family)
    out.mkdir(parents=True, exist_ok=True)
    about = {"family": family, "seed": seed, "solutions": len(found)}
    path = out / f"{family}-{seed}.json"
    path.write_text(json.dumps({**about, "arms": {arm: measured(found, arm) for arm in ARMS}}, indent=1) + "\n")
    print(path, flush=True)


def main() -> None:
    parser = parser_of(__doc__, RESULTS / "branch")
    parser.add_argument("--rollouts", type=Path, required=True, help="what tests.bench.prm.record made")
    wish = parser.parse_args()
    for seed in wish.seeds:
        run(wish.rollouts, wish.family, seed, wish.out)


if __name__ == "__main__":
    main()
