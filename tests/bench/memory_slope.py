"""Whether a run's actors grow: ``python -m tests.bench.memory_slope RUN``, from ``memory/rss_mb/…`` of its metrics.

One line per actor: resident MiB after warm-up and at the end, and the slope of a straight line through the steps after
warm-up, in MiB per 100 steps.
"""

import json
import sys
from pathlib import Path

import numpy as np

from effrl.run import metrics

WARM_UP = 0.2
"""Share of the steps that is left out: engines and allocators fill their pools."""


def slopes(run: Path) -> list[dict[str, float | str]]:
    """One record per actor."""
    rows = [row for row in metrics.read(run / "metrics.jsonl") if row["step"] > 0]
    late = rows[int(WARM_UP * len(rows)) :]
    names = [name for name in rows[-1] if name.startswith("memory/rss_mb/")]
    return [_line(name, [(row["step"], row[name]) for row in late if row[name] is not None]) for name in names]


def _line(name: str, points: list[tuple[int, float]]) -> dict[str, float | str]:
    steps, sizes = np.array(points, np.float64).T
    slope = float(np.polyfit(steps, sizes, 1)[0])
    return {
        "actor": name.removeprefix("memory/rss_mb/"),
        "warm_mib": round(float(np.median(sizes[:10])), 1),
        "last_mib": round(float(np.median(sizes[-10:])), 1),
        "mib_per_100_steps": round(100 * slope, 2),
    }


if __name__ == "__main__":
    for record in slopes(Path(sys.argv[1])):
        print(json.dumps(record))
