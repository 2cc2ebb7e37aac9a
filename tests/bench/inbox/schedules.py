"""Random schedules of asks, leases, answers, undos, clocks and deaths: does the inbox ever differ from its model?

    python -m tests.bench.inbox.schedules --schedules 100000 --workers 2

A schedule is up to ``--steps`` operations of the state machine in ``tests/unit/label/oracle/inbox/test_inbox_model.py``
on an inbox of its own. The first difference ends the run with the shortest history that shows it.
"""

import argparse
import json
import time
from multiprocessing import get_context
from pathlib import Path

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.unit.label.oracle.inbox.test_inbox_model import InboxModel

AT_ONCE = 250
"""Schedules that one worker draws in a row, from a seed of their own."""


def search(number: int, steps: int) -> int:
    """Try schedules; returns how many were."""
    tried: set[int] = set()

    class Counted(InboxModel):
        def __init__(self) -> None:
            super().__init__()
            tried.add(len(tried))

    limits = settings(
        max_examples=AT_ONCE, stateful_step_count=steps, deadline=None, database=None, suppress_health_check=HealthCheck
    )
    run_state_machine_as_test(seed(number)(Counted), settings=limits)
    return len(tried)


def _search(task: tuple[int, int]) -> int:
    return search(*task)


def main() -> None:
    """Search until so many schedules were tried, and say so."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schedules", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    begun, tried, number = time.monotonic(), 0, given.seed
    tasks = ((given.seed + n, given.steps) for n in range(-(-given.schedules // AT_ONCE) * 2))
    with get_context("spawn").Pool(given.workers) as pool:
        for number, found in enumerate(pool.imap(_search, tasks)):
            tried += found
            print(f"{number + 1}: {tried} schedules, {time.monotonic() - begun:.0f} s", flush=True)
            if tried >= given.schedules:
                break
    result = {"schedules": tried, "steps": given.steps, "seed": given.seed, "differences": 0}
    print(json.dumps(result))
    if given.out is not None:
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
