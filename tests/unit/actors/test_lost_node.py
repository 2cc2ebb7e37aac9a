"""A node was lost between two attempts at a run: its workers move, or a line says that nobody has room for them."""

from pathlib import Path
from typing import Any

import pytest
from fake_actor import Ref
from ray.exceptions import ActorUnschedulableError

from actors import cluster as module
from actors import reservation
from actors.cluster import Cluster
from actors.reservation import Room
from actors.wait import LostError, answer
from effrl.config.load import load
from effrl.errors import DeadlineError, UserError


class Rooms:
    """A cluster whose nodes are set by a test, and what was killed on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, run: Path, *, living: str, bundles: list[str]) -> None:
        self.killed: list[str] = []
        self.bundles, self.looks = bundles, 0
        nodes = [{"NodeManagerAddress": name, "NodeID": name, "Alive": name in living} for name in "abc"]
        has = {"Resources": {"CPU": 2.0}, "Labels": {}}
        monkeypatch.setattr(module.ray, "nodes", lambda: [{**node, **has} for node in nodes])
        monkeypatch.setattr(module, "_kill", self.killed.extend)
        monkeypatch.setattr(reservation, "placement_group_table", self.look)
        self.room = Room({"rollout": object()})  # type: ignore[dict-item]
        self.cluster = Cluster(load("quickstart", ["cluster.nodes=2", "cluster.start_s=1"]), run, self.room)
        self.cluster.bundles, self.cluster.took_over = {"rollout": ["a", "b"]}, True
        self.cluster.rollout = {"rollout-0": object()}

        async def lost() -> set[str]:
            return set("abc") - set(living)

        monkeypatch.setattr(self.cluster.nodes, "lost", lost)

    def look(self, group: Any) -> dict[str, Any]:
        """Where Ray has the bundles: nowhere at first, if one of them moves."""
        self.looks += 1
        return {"bundles_to_node_id": dict(enumerate(self.bundles if self.looks > 1 else ["a", ""]))}

    async def settle(self) -> None:
        await self.cluster._settled(self.room)


async def test_what_was_on_it_moves_to_a_node_that_has_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rooms = Rooms(monkeypatch, tmp_path, living="ac", bundles=["a", "c"])
    await rooms.settle()
    assert rooms.looks == 2, "it waits for Ray, which moves them"
    assert rooms.killed == ["rollout-0"] and not rooms.cluster.took_over, "engines start together"


async def test_no_other_node_has_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"on 2 node\(s\), but 1 node\(s\) can hold them .* lower cluster.nodes"):
        await Rooms(monkeypatch, tmp_path, living="a", bundles=["a", ""]).settle()


async def test_the_room_is_another_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(DeadlineError, match="room for the workers of a lost node"):
        await Rooms(monkeypatch, tmp_path, living="ac", bundles=["a", ""]).settle()


async def test_where_all_nodes_are_there_the_engines_stay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rooms = Rooms(monkeypatch, tmp_path, living="abc", bundles=["a", "b"])
    await rooms.settle()
    assert rooms.killed == [] and rooms.cluster.took_over


async def test_an_actor_whose_node_is_gone_is_lost() -> None:
    """Ray says so in a way of its own; a metric that asks the node again would end the run."""
    refused: Any = Ref(ActorUnschedulableError("The node does not exist any more"))
    with pytest.raises(LostError, match="node b died during what it uses"):
        await answer(refused, 1.0, "what it uses", "node b")
