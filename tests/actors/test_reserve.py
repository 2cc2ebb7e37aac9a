"""Room that something else uses on the cluster is told of; room that is being given back is waited for."""

import asyncio

import pytest
import ray
from ray.util import placement_group, remove_placement_group

from actors import reservation
from actors.reservation import Room
from effrl.config.load import load
from effrl.errors import UserError


async def test_a_run_says_that_its_room_is_in_use(local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = load("quickstart", ["cluster.rollout.cpus=0.2", "cluster.learner.cpus=0.2"])
    left = ray.available_resources().get("CPU", 0.0)
    if left < 0.5:
        pytest.skip("other tests' actors hold the machine's CPUs")
    other = placement_group([{"CPU": left - 0.25}])
    ray.get(other.ready(), timeout=30)
    monkeypatch.setattr(reservation, "FREE_S", 1.0)
    with pytest.raises(UserError, match=r"is there but in use \(.* free\): wait until what uses it has ended"):
        await Room.reserve(wanted, learning=True)

    async def give_back() -> None:
        await asyncio.sleep(1)
        remove_placement_group(other)

    monkeypatch.setattr(reservation, "FREE_S", 30.0)
    room, _ = await asyncio.gather(Room.reserve(wanted, learning=True), give_back())
    room.give_back()
