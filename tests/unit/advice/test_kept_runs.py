"""Advice on the runs that the bench has kept: it is given where accuracy was lost for good, and nowhere else.

A kept run has outcomes, votes and evaluations of each step, and no groups, memory or times: those are planted in
``test_rules.py``.
"""

import json
from pathlib import Path
from typing import Any

from effrl.advice.advise import told
from tests.unit.sources import ROOT

RESULTS = ROOT / "tests" / "bench" / "results"
LOST = {
    "care/strings--votes--31": "fallen",  # votes alone, on a model whose errors are systematic
    "care/strings--votes--32": "fallen",
    "stages/strings--votes--81": "fallen",
    "stages/strings--votes--83": "collapse",
    "labels/strings--random_05--2": "fallen",  # a twentieth of the labels, votes for all the rest
    "controls/strings--random_rewards--1": "fallen",  # a control that is meant to fall
    "controls/strings--random_rewards--2": "fallen",
    "controls/strings--random_rewards--3": "fallen",
    "together/strings_skewed--easyrl--101": "collapse",
    "together/strings_skewed--easyrl--103": "collapse",  # from 0.68 after the labelled steps to 0.64
    "together/strings_skewed--effrl_all--102": "fallen",
}


def rows_of(cell: Path) -> list[dict[str, Any]]:
    kept = json.loads(cell.read_text())
    rows: list[dict[str, Any]] = [{"step": 0}]
    for index in range(len(kept["series"]["reward/outcome_mean"])):
        rows.append({"step": index + 1} | {name: values[index] for name, values in kept["series"].items()})
    for point in kept["curve"]:
        rows[point["step"]] |= point["metrics"]
    return rows


def test_who_lost_accuracy_is_told_and_nobody_else() -> None:
    cells = sorted(RESULTS.glob("*/cells/*.json"))
    assert len(cells) > 400
    said_of = {cell: [entry.rule.name for entry in told(rows_of(cell))] for cell in cells}
    found = {f"{cell.parents[1].name}/{cell.stem}": said for cell, said in said_of.items() if said}
    assert found == {name: [advice] for name, advice in LOST.items()}
