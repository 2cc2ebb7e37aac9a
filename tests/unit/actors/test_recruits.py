"""Workers join where there is room, up to a limit, and leave nodes that are drained; nothing of this ends a run."""

from types import SimpleNamespace
from typing import Any

import pytest

from actors.driver import recruits as module
from actors.driver.recruits import Recruits
from actors.driver.sampler import Sampler
from effrl.config.load import load
from effrl.errors import RunError, UserError


class Town:
    """A cluster with free rooms, a sampler without engines, and what happens in both."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rooms: int = 0, most: int = 3, model: bool = True) -> None:
        self.rooms, self.model, self.told, self.events = rooms, model, list[str](), list[str]()
        self.config = load("quickstart", [f"cluster.rollout.max={most}"])
        self.places, self.extra = {"rollout-0": "a"}, dict[str, Any]()
        self.rollout: dict[str, Any] = {"rollout-0": "engine 0"}
        self.sampler = Sampler(self.rollout, 5.0, self, tell=self.told.append)
        monkeypatch.setattr(module, "ask_for_one", self.ask)
        monkeypatch.setattr(module, "node_of", lambda group: "b" * 40 if self.rooms > 0 else None)
        self.recruits = Recruits(self, self.sampler, most, self.told.append)  # type: ignore[arg-type]

    def ask(self, pool: Any) -> Any:
        assert (pool.roles, pool.nodes, pool.cpus) == (("rollout",), 1, 0.5)
        self.events.append("asks for room")
        return SimpleNamespace()

    @property
    def next_name(self) -> str:
        return f"rollout-{len(self.rollout)}"

    async def recruit(self, name: str, group: Any, node: str) -> Any:
        self.extra[name], self.places[name] = group, "b"
        if not self.model:
            raise UserError("node b has no model. It is missing")
        self.rooms -= 1
        return f"engine {name[-1]}"

    def dismiss(self, name: str, worker: Any) -> None:
        self.events.append(f"dismisses {worker}")
        del self.extra[name]

    async def start(self, worker: str, lost: Any) -> Any:
        self.events.append(f"starts {worker} in the place of {lost}")
        self.places[worker] = "c"
        return "engine again"

    async def load(self, worker: str, handle: Any) -> int:
        return 7


async def test_one_after_the_other_joins_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town(monkeypatch, rooms=5)
    while town.sampler.expected < town.recruits.most:
        assert await town.recruits.take_in()
    assert list(town.rollout) == ["rollout-0", "rollout-1", "rollout-2"]
    assert town.told == ["rollout-1 has joined, with version 7", "rollout-2 has joined, with version 7"]
    assert town.events == ["asks for room"] * 2, "each for one worker"


async def test_a_request_stays_open_until_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town(monkeypatch)
    for _ in range(3):
        assert await town.recruits.take_in()
    assert town.events == ["asks for room"] and list(town.rollout) == ["rollout-0"]
    town.rooms = 1
    assert await town.recruits.take_in() and list(town.rollout) == ["rollout-0", "rollout-1"]


async def test_who_cannot_join_is_told_and_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town(monkeypatch, rooms=1, model=False)
    assert not await town.recruits.take_in()
    assert town.told == ["rollout-1 cannot join on node bbbbbbbb: node b has no model"]
    assert town.events == ["asks for room", "dismisses None"] and town.extra == {}


async def test_who_cannot_be_given_the_weights_does_not_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town(monkeypatch, rooms=1)

    async def fails(worker: str, handle: Any) -> int:
        raise RunError("it does not serve version 7")

    monkeypatch.setattr(town, "load", fails)
    assert not await town.recruits.take_in()
    assert list(town.rollout) == ["rollout-0"] and town.events[-1] == "dismisses engine 1"


async def test_a_drained_node_is_left_by_who_joined_and_by_who_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    town = Town(monkeypatch, rooms=1)
    await town.recruits.take_in()
    await town.recruits.let_go({"z"})
    assert list(town.rollout) == ["rollout-0", "rollout-1"], "another node"
    await town.recruits.let_go({"b"})
    assert list(town.rollout) == ["rollout-0"] and town.events[-1] == "dismisses engine 1"
    await town.recruits.let_go({"a"})
    assert town.sampler.expected == 1, "it is being replaced"
    await town.sampler._whole()
    assert town.rollout == {"rollout-0": "engine again"} and town.sampler.lost == 0
    assert town.events[-1] == "starts rollout-0 in the place of engine 0"
