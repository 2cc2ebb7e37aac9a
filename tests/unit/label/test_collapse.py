"""The alarm on votes that feed on themselves: on made-up runs, and on those that the bench has kept."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from effrl.label.collapse import REMEDY, Collapse, collapsing

CELLS = Path(__file__).parents[2] / "bench" / "results" / "votes" / "cells"


def collapse(rows: Sequence[dict[str, Any]]) -> tuple[int, Collapse] | None:
    """The first step that shows it, and what is seen there."""
    found = ((end - 1, collapsing(rows[:end])) for end in range(1, len(rows) + 1))
    return next(((step, seen) for step, seen in found if seen is not None), None)


def run(
    shares: Sequence[float], solved: dict[int, float], votes: float = 1.0, entropies: Sequence[float] | None = None
) -> list[dict[str, Any]]:
    """Rows of a run; the base is row 0."""
    rows: list[dict[str, Any]] = [{"step": 0}]
    for step, share in enumerate(shares, start=1):
        entropy = 1 - share if entropies is None else entropies[step - 1]
        rows.append(
            {
                "step": step,
                "label/majority_share": share,
                "label/answer_entropy": entropy,
                "label/token_share/vote": votes,
            }
        )
    for step, value in solved.items():
        rows[step]["eval/pass@4"] = value
    return rows


GROWING = [0.5 + 0.02 * step for step in range(16)]
FALLING = {0: 0.8, 8: 0.7, 12: 0.6, 16: 0.5}


def test_all_signs_together_are_an_alarm_at_the_first_evaluation_that_shows_them() -> None:
    found = collapse(run(GROWING, FALLING))
    assert found is not None and (found[0], found[1].solved) == (12, (0.8, 0.6))
    assert found[1].share == pytest.approx((0.53, 0.69))
    assert "pass@k fell from 0.80 to 0.60" in str(found[1]) and "label.kind=care" in REMEDY


@pytest.mark.parametrize(
    "rows",
    [
        run(GROWING, {0: 0.8, 8: 0.85, 16: 0.95}),  # it learns
        run(GROWING, {0: 0.8, 8: 0.95, 16: 0.85}),  # it wavers
        run([0.5] * 16, FALLING),  # something else is wrong
        run(GROWING, FALLING, entropies=GROWING),
        run(GROWING, FALLING, votes=0.0),  # labels supervise it
        run(GROWING, {}),
        run(GROWING[:6], {0: 0.8, 6: 0.2}),  # too early to tell
        [],
    ],
)
def test_fewer_signs_are_none(rows: list[dict[str, Any]]) -> None:
    assert collapse(rows) is None
    assert collapsing([]) is None


@pytest.mark.parametrize("cell", sorted(CELLS.glob("*--votes--*.json")), ids=lambda path: path.stem)
def test_kept_runs(cell: Path) -> None:
    """Under votes alone the mean outcome is the majority's share; entropies were not kept then, and fall with it."""
    kept = json.loads(cell.read_text())
    points = {point["step"]: point["metrics"]["eval/pass@4"] for point in kept["curve"]}
    found = collapse(run(kept["series"]["reward/outcome_mean"], points))
    assert (found is not None) == kept["family"].endswith("_misled")
