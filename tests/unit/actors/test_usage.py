"""CPU seconds of a row: what each process used since the row before."""

from collections.abc import Mapping

import pytest

from actors.driver.usage import UsageWatch
from actors.machine import Usage


def watch(*readings: Mapping[str, float | None]) -> UsageWatch:
    """Of actors whose CPU seconds are read one after the other; the driver has used 5 s at each reading."""
    left = iter(readings)

    async def actors() -> dict[str, Usage | None]:
        return {role: None if seconds is None else Usage(100.0, seconds) for role, seconds in next(left).items()}

    return UsageWatch(actors, own=lambda: {"driver": 5.0})


async def test_a_row_has_what_was_used_since_the_row_before() -> None:
    watched = watch({"data": 2.0, "learner-0": 10.0}, {"data": 2.5, "learner-0": 14.0})
    await watched.metrics()
    assert await watched.metrics() == {
        "memory/rss_mb/data": 100.0,
        "memory/rss_mb/learner-0": 100.0,
        "cpu/data_s": 0.5,
        "cpu/learner-0_s": 4.0,
        "cpu/driver_s": 0.0,
    }


async def test_what_could_not_be_read_is_null_and_in_the_next_row() -> None:
    watched = watch({"data": 2.0}, {"data": None}, {"data": 7.0})
    rows = [await watched.metrics() for _ in range(3)]
    assert [row["cpu/data_s"] for row in rows] == [2.0, None, 5.0]
    assert [row["memory/rss_mb/data"] for row in rows] == [100.0, None, 100.0]


@pytest.mark.parametrize("anew", [0.0, 1.5])
async def test_a_process_that_began_anew_is_not_negative(anew: float) -> None:
    watched = watch({"data": 9.0}, {"data": anew}, {"data": anew + 1.0})
    rows = [await watched.metrics() for _ in range(3)]
    assert [row["cpu/data_s"] for row in rows] == [9.0, 0.0, 1.0]
