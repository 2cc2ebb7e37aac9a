"""docs/plan.md shows what ``effrl plan`` says today, and forecasts are near to what was measured."""

import json

import pytest

from tests.bench.plan_check import CASES, LATER, RESULTS, RUNS, SPEED, off, predicted_gib
from tests.bench.plan_tables import PAGE, SECTIONS, filled

MEASURED = [name for name in CASES if (RESULTS / f"{name}.json").is_file()]


def test_the_page_shows_what_the_command_says_today() -> None:
    """Mend it with ``python -m tests.bench.plan_tables``."""
    page = PAGE.read_text()
    assert filled(page) == page
    assert page.count("<!-- made: ") == len(SECTIONS)


@pytest.mark.parametrize("name", MEASURED)
def test_a_peak_is_foreseen_within_a_tenth(name: str) -> None:
    ranks = json.loads((RESULTS / f"{name}.json").read_text())["ranks"]
    assert predicted_gib(CASES[name]) == pytest.approx(max(rank["step_2_gib"] for rank in ranks), rel=0.1)


def test_peaks_were_measured_on_six_shapes_at_least() -> None:
    assert len(MEASURED) >= 6


@pytest.mark.parametrize("one", RUNS[SPEED])
@pytest.mark.parametrize("other", RUNS[SPEED])
def test_cpu_seconds_are_foreseen_within_a_quarter(one: str, other: str) -> None:
    """Of a step of a whole run, calibrated on one run: 1M, 22.7M and 100M parameters."""
    assert abs(off(SPEED, one, other)) < 0.25


@pytest.mark.parametrize("other", RUNS[LATER])
def test_so_they_are_on_another_machine_calibrated_on_the_largest(other: str) -> None:
    """1M, 22.7M and SmolLM2's 135M parameters."""
    assert abs(off(LATER, "smollm2", other)) < 0.25
