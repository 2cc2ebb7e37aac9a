"""Accuracies on the pages are those of the cells: every ``mean ± half a t interval`` of a table that names its cells.

Above a table, ``<!-- cells: STUDY/FAMILY: ARM, ARM -->`` says whose the figures of a row are, in order; ``{}`` stands
for the row's key, which is its first word in backticks, or else its first cell. ``ARM@24`` is the arm after 24 steps. A
row may also name its own cells, with the same words in backticks in its last column.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.bench.statistics import mean

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
TABLE = re.compile(r"<!-- cells: (\S+): (.+) -->\n((?:\|.*\n)+)")
NAMED = re.compile(r"\| `([\w.-]+/[\w.-]+): ([^`]+)` \|$", re.MULTILINE)
FIGURE = re.compile(r"(-?\d\.\d+) ± (\d\.\d+)")


class Claim(NamedTuple):
    page: str
    cells: str
    """``study/family--arm``, or ``study/family--arm@step``."""
    figure: str


def claims() -> Iterator[Claim]:
    for page in PAGES:
        text = page.read_text()
        for family, arms, table in TABLE.findall(text):
            for row in table.splitlines()[2:]:
                yield from of_row(page.name, row, family.replace("{}", key(row)), arms.replace("{}", key(row)))
        for row in re.findall(r"^\|.*\|$", text, re.MULTILINE):
            for family, arms in NAMED.findall(row):
                yield from of_row(page.name, row, family, arms)


def key(row: str) -> str:
    """``random_20`` of a row that begins with that in backticks; ``05`` of one that begins with ``5 %``."""
    first = row.split("|")[1].strip()
    quoted = re.search(r"`(\w+)`", first)
    return quoted[1] if quoted else re.sub(r"^(\d+) %$", lambda share: f"{int(share[1]):02}", first)


def of_row(page: str, row: str, family: str, arms: str) -> Iterator[Claim]:
    figures = [found[0] for found in FIGURE.finditer(row)]
    names = arms.split(", ")
    assert len(figures) == len(names), f"{page}: {len(names)} arms and {len(figures)} figures in {row}"
    yield from (Claim(page, f"{family}--{name}", figure) for name, figure in zip(names, figures, strict=True))


def accuracy(cell: dict[str, Any], step: str) -> float:
    """Of a run after a step, or after its last one."""
    points = {str(point["step"]): point["metrics"] for point in cell["curve"]}
    value: float = (points[step] if step else cell["finals"])["eval/accuracy"]
    return value


@pytest.mark.parametrize("claim", list(claims()), ids=lambda claim: f"{claim.page}:{claim.cells}")
def test_a_page_says_what_was_measured(claim: Claim) -> None:
    """To the digits shown; a half may be rounded either way."""
    study, _, name = claim.cells.partition("/")
    arm, _, step = name.partition("@")
    found = sorted((ROOT / "tests" / "bench" / "results" / study / "cells").glob(f"{arm}--[0-9]*.json"))
    measured = mean([accuracy(json.loads(cell.read_text()), step) for cell in found])
    assert measured.half_width is not None, f"{claim.cells} has {len(found)} cells"
    for told, value in zip(claim.figure.split(" ± "), (measured.value, measured.half_width), strict=True):
        unit = 10.0 ** -len(told.partition(".")[2])
        assert np.isclose(float(told), value, rtol=0, atol=0.51 * unit), f"{claim.cells}: {measured}"


def test_there_are_figures_to_check() -> None:
    assert len(list(claims())) > 30


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout: what git ignores is not known")
def test_no_result_is_ignored_by_git() -> None:
    """A clone would lack it, and the tests that read it would fail there alone."""
    asked = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "tests/bench/results"]
    assert subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True).stdout == ""
