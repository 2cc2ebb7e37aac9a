"""Schedules of the fleet beyond those that the tests play: ``python -m tests.bench.schedules FIRST COUNT``.

Each is told apart by its seed; the first one that fails ends it with the observer's complaint.
"""

import sys
import time

from tests.unit.test_fleet import EVENTS, play


def main(first: int, count: int) -> None:
    began, cpu = time.monotonic(), time.process_time()
    for done in range(1, count + 1):
        try:
            play(first + done - 1)
        except Exception:
            print(f"seed {first + done - 1}", flush=True)
            raise
        if done % 10_000 == 0:
            print(f"{done} schedules, {done / (time.process_time() - cpu):.0f} in a CPU second", flush=True)
    seconds = time.monotonic() - began
    print(f"{count} schedules of {EVENTS} events and an end from seed {first}: {seconds:.0f} s, all well")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
