"""What a step costs, as a + b n seconds: over rollouts, over tokens and over parameters, on small shapes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.bench.speed.effrl_arm import effrl_steps
from tests.bench.speed.rows import Row
from tests.bench.speed.sizes import SIZES, Size, model_of
from tests.bench.speed.summary import per_step


class Line(NamedTuple):
    """``fixed + each * n``, and the largest distance of a point from it."""

    fixed: float
    each: float
    worst: float


def fit(points: Sequence[tuple[float, float]]) -> Line:
    """Least squares through pairs of n and seconds; at least two different n."""
    n, seconds = np.array(points, dtype=float).T
    design = np.stack([np.ones_like(n), n / n.max()], axis=1)  # scaled: parameters are millions
    (fixed, each), *_ = np.linalg.lstsq(design, seconds, rcond=None)
    worst = np.abs(design @ (fixed, each) - seconds).max()
    return Line(float(fixed), float(each / n.max()), float(worst))


def sweeps() -> Iterator[tuple[str, Size]]:
    """Names of what is varied, and sizes that vary only in that."""
    tiny = SIZES["tiny"]
    yield from (("rollouts", replace(tiny, prompts=prompts)) for prompts in (8, 16, 32, 64))
    yield from (("tokens", replace(SIZES["22.7m"], prompts=4, max_tokens=most)) for most in (16, 64, 128, 256))
    for hidden in (128, 256, 384, 512):
        shape = {**SIZES["22.7m"].shape, "hidden_size": hidden, "intermediate_size": hidden * 11 // 4}
        yield "parameters", replace(SIZES["22.7m"], prompts=4, max_tokens=32, shape=shape)


def measure(prompts: Path, steps: int, directory: Path) -> list[dict[str, Any]]:
    """A point for every size of the sweeps, from effrl's own runs."""
    points: list[dict[str, Any]] = []
    for number, (varied, size) in enumerate(sweeps()):
        place = directory / f"point-{number}"
        place.mkdir()
        model = model_of(size, place)
        rows, _ = effrl_steps(size, model, prompts, steps + 1, place / "effrl")
        mean = per_step(rows[1:])
        points.append({"varied": varied, "n": _amount(varied, mean, model), **mean})
    return points


def lines(points: Sequence[dict[str, Any]]) -> dict[str, dict[str, Line]]:
    """Fits of the step and of its parts, for everything that was varied."""
    found: dict[str, dict[str, Line]] = {}
    for varied in dict.fromkeys(str(point["varied"]) for point in points):
        of = [point for point in points if point["varied"] == varied]
        parts = ("wall_s", "rollout_s", "learn_s", "publish_s")
        found[varied] = {part: fit([(float(p["n"]), float(p[part])) for p in of]) for part in parts}
    return found


def table(found: dict[str, dict[str, Line]]) -> str:
    """As Markdown."""
    head = ["| over | seconds of | fixed | of 1,000 more | worst distance |", "| --- | --- | ---: | ---: | ---: |"]
    rows = [
        f"| {varied} | {part} | {line.fixed:.3f} | {line.each * 1000:.3g} | {line.worst:.3f} |"
        for varied, parts in found.items()
        for part, line in parts.items()
    ]
    return "\n".join([*head, *rows])


def _amount(varied: str, mean: Row, model: Path) -> float:
    if varied != "parameters":
        return mean[varied]
    return sum(file.stat().st_size for file in model.glob("*.safetensors")) / 4  # float32
