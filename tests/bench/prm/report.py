"""Tables of what was measured: ``python -m tests.bench.prm.report`` writes ``tests/bench/results/prm/README.md``.

Means over seeds, with half of the 95 % t interval; of gradients, values over the groups of all seeds with the 95 %
interval of the bootstrap.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.bench.prm.pairs import KINDS, accuracy
from tests.bench.prm.record import RESULTS
from tests.bench.statistics import Estimate, mean

Seeds = dict[int, Any]
"""What was measured of a family, by seed."""

LATE = (10, 20)
"""Steps 11 to 20."""
WINDOWS = ((0, 5), (5, 10), (10, 15), (15, 20))
ARMS = ("online", "frozen", "shuffled", "reference", "length")


def families(folder: Path) -> dict[str, Seeds]:
    """The results of a folder, by family."""
    found: dict[str, Seeds] = defaultdict(dict)
    for path in sorted(folder.glob("*-*.json")):
        result = json.loads(path.read_text())
        found[result["family"]][result["seed"]] = result
    return dict(sorted(found.items()))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["", _row(head), _row(["---"] * len(head)), *map(_row, rows), ""]


def over_seeds(seeds: Seeds, value: Callable[[Any], float | None]) -> Estimate | None:
    """Mean of the seeds that have a value; None where none has."""
    known = [found for seed in seeds.values() if (found := value(seed)) is not None]
    return mean(known) if known else None


def shown(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate.value:.3f}" + (f" ± {estimate.half_width:.3f}" if estimate.half_width is not None else "")


def window(seed: Any, arm: str, kind: str, steps: tuple[int, int]) -> float | None:
    """Pairwise accuracy after the first and up to the last of ``steps``."""
    return accuracy([step["arms"][arm]["pairs"] for step in _within(seed, steps)], kind)


def late(seed: Any, arm: str, name: str) -> float | None:
    """A figure's mean over the late steps that have it."""
    known = [step["arms"][arm].get(name) for step in _within(seed, LATE)]
    kept = [value for value in known if value is not None]
    return sum(kept) / len(kept) if kept else None


def offline_tables(family: str, seeds: Seeds) -> Iterator[str]:
    one = next(iter(seeds.values()))
    pairs = {kind: sum(_pairs(seed, kind) for seed in seeds.values()) for kind in KINDS}
    yield f"### {family}: pairwise accuracy on groups that were not learned from yet"
    yield ""
    yield f"Seeds {', '.join(map(str, seeds))}; PRM at {one['lr']:g}; frozen after step {one['frozen_after']}."
    names = [f"steps {first + 1}-{last}" for first, last in WINDOWS]
    yield from table(["PRM", *names], [[f"`{arm}`", *_windows(seeds, arm)] for arm in ARMS])
    yield f"Steps {LATE[0] + 1} to {LATE[1]}; {', '.join(f'{pairs[kind]} pairs {kind}' for kind in KINDS)}."
    head = ["PRM", *(f"pairs {kind}" for kind in KINDS), "AUC", "absolute", "calibration error"]
    yield from table(head, [[f"`{arm}`", *_late(seeds, arm)] for arm in ARMS])
    differences = [[f"`online` less `{arm}`", *_less(seeds, arm)] for arm in ARMS[1:]]
    yield from table(["paired", *(f"pairs {kind}" for kind in KINDS)], differences)


def branch_tables(family: str, seeds: Seeds) -> Iterator[str]:
    names = ("largest", "among_3", "lowest", "negative", "squares")
    for way in ("all", "misreading", "slip"):
        of_way = {seed: found for seed, found in seeds.items() if way in found["arms"]["online"]["wrong"]}
        if not of_way:
            continue
        count = sum(found["arms"]["online"]["wrong"][way]["solutions"] for found in of_way.values())
        chance = [over_seeds(of_way, _wrong("online", way, name)) for name in ("chance", "chance_3")]
        yield f"### {family}: the token at which a wrong solution leaves the right one ({way}, {count} solutions)"
        yield ""
        yield f"A random token is the largest in {shown(chance[0])}, among the largest 3 in {shown(chance[1])}."
        arms = ("online", "frozen", "shuffled", "surprise")
        rows = [[f"`{arm}`", *(shown(over_seeds(of_way, _wrong(arm, way, name))) for name in names)] for arm in arms]
        yield from table(["rewards", *names], rows)
    rows = [[f"`{arm}`", *_decisions(seeds, arm)] for arm in ("online", "frozen", "shuffled", "surprise")]
    yield f"### {family}: decisions told apart, area under the curve"
    yield from table(["rewards", "of all solutions", "within wrong solutions"], rows)


def variance_table(result: Any) -> Iterator[str]:
    yield f"### {result['family']}: gradients at the base policy"
    yield ""
    yield f"Seeds {', '.join(map(str, result['seeds']))}: {sum(result['groups'])} groups; PRM at {result['lr']:g}."
    head = ["estimator", "trace over RLOO's", "noise over signal, 8 groups", "cosine with RLOO", "gain"]
    rows = [
        [f"`{arm}`", _of(told["trace"]), _inverted(told["signal"]), _of(told["cosine"]), _of(told["gain"])]
        for arm, told in result["arms"].items()
    ]
    yield from table(head, rows)


def page(folder: Path) -> str:
    parts = ["# What an implicit PRM learns", "", "Written by `python -m tests.bench.prm.report`.", ""]
    parts += ["## Online, frozen, and learned from shuffled labels", ""]
    for family, seeds in families(folder / "offline").items():
        parts += offline_tables(family, seeds)
    parts += ["## Where the rewards stand", ""]
    for family, seeds in families(folder / "branch").items():
        parts += branch_tables(family, seeds)
    parts += ["## How noisy the gradient is", ""]
    for path in sorted((folder / "variance").glob("*.json")):
        parts += variance_table(json.loads(path.read_text()))
    kept = [parts[0], *(line for before, line in pairwise(parts) if line or before)]
    return "\n".join(kept).rstrip() + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _within(seed: Any, steps: tuple[int, int]) -> list[Any]:
    return [step for step in seed["steps"] if steps[0] < step["step"] <= steps[1]]


def _pairs(seed: Any, kind: str) -> int:
    return sum(step["arms"]["online"]["pairs"][kind][1] for step in _within(seed, LATE))


def _windows(seeds: Seeds, arm: str) -> list[str]:
    return [shown(over_seeds(seeds, lambda seed, steps=steps: window(seed, arm, "all", steps))) for steps in WINDOWS]


def _late(seeds: Seeds, arm: str) -> list[str]:
    pairs = [shown(over_seeds(seeds, lambda seed, kind=kind: window(seed, arm, kind, LATE))) for kind in KINDS]
    names = ("area", "absolute", "calibration")
    return [*pairs, *(shown(over_seeds(seeds, lambda seed, name=name: late(seed, arm, name))) for name in names)]


def _less(seeds: Seeds, arm: str) -> list[str]:
    def difference(seed: Any, kind: str) -> float | None:
        own, other = window(seed, "online", kind, LATE), window(seed, arm, kind, LATE)
        return None if own is None or other is None else own - other

    return [shown(over_seeds(seeds, lambda seed, kind=kind: difference(seed, kind))) for kind in KINDS]


def _wrong(arm: str, way: str, name: str) -> Callable[[Any], float]:
    return lambda seed: seed["arms"][arm]["wrong"][way][name]


def _decisions(seeds: Seeds, arm: str) -> list[str]:
    names = ("area", "area_in_wrong")
    return [shown(over_seeds(seeds, lambda seed, name=name: seed["arms"][arm]["decisions"][name])) for name in names]


def _of(told: Sequence[float]) -> str:
    value, low, high = told
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def _inverted(told: Sequence[float]) -> str:
    """Noise over signal, from signal over noise, which may be 0 as far as one can tell."""
    value, low, high = (1 / part if part > 0 else math.inf for part in told)
    return f"{value:.1f} ({high:.1f} to {low:.1f})"


if __name__ == "__main__":
    (RESULTS / "README.md").write_text(page(RESULTS))
