"""What a node must have before a run starts on it, and usage that is read without waiting for anybody busy."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.machine import Usage
from actors.node import actor
from actors.node.actor import NodeActor, NodeNeeds
from actors.node.service import Nodes
from actors.wait import LostError
from effrl.errors import DeadlineError, UserError
from effrl.models import TINY


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "VISIBLE_S", 0.3)


def refusal(needs: NodeNeeds) -> str:
    with pytest.raises(UserError) as caught:
        NodeActor().check(needs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_node_that_has_everything_tells_its_cores(tmp_path: Path) -> None:
    (tmp_path / "token").touch()
    (tmp_path / "lies_on_the_node.py").touch()
    own = {"loss.kind": "lies_on_the_node:loss"}
    cores = NodeActor().check(NodeNeeds((TINY,), tmp_path / "token", own, (str(tmp_path),)))
    assert 1 <= cores <= (os.cpu_count() or 1)


def test_a_run_directory_that_is_not_shared(tmp_path: Path) -> None:
    """Ranks would write their part of a checkpoint to a disk of their own, and it would be sealed without them."""
    said = refusal(NodeNeeds((), tmp_path / "run" / "token"))
    assert f"does not see the run directory {tmp_path / 'run'}" in said and "a disk that every node shares" in said


def test_a_token_may_come_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network's file system shows a new file after a while."""
    seen = iter([False, False, True])
    monkeypatch.setattr(Path, "exists", lambda _: next(seen))
    NodeActor().check(NodeNeeds((), tmp_path / "token"))


def test_a_model_that_is_not_on_the_node(tmp_path: Path) -> None:
    assert NodeActor().lacks((TINY, tmp_path)) == [tmp_path]


def test_code_of_the_user_that_is_not_on_the_node(tmp_path: Path) -> None:
    said = refusal(NodeNeeds((), plugins={"loss.kind": "lies_elsewhere:loss"}, search_path=(str(tmp_path),)))
    assert said.startswith("loss.kind 'lies_elsewhere:loss': node ") and "install it there" in said
    assert str(tmp_path) in said


def test_a_node_reads_usage_by_name() -> None:
    found = NodeActor().usage({"learner-0": os.getpid(), "gone": 2**22 + 1})
    assert found["learner-0"] is not None and found["gone"] is None


async def test_a_reading_that_does_not_come_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric must not end a run, nor hold it up."""

    used = Usage(rss_mb=7.0, cpu_s=3.0)

    class Remote:
        def __init__(self, method: Any) -> None:
            self.remote = method

    class Node:
        def __init__(self, lost: bool) -> None:
            self.usage = Remote(lambda pids: None if lost else dict.fromkeys(pids, used))

    async def answer(ref: Any, seconds: float, what: str, role: str) -> Any:
        assert seconds <= 5
        if ref is None:
            raise DeadlineError(f"waited {seconds:.0f} s in vain for {what} of {role}")
        return ref

    monkeypatch.setattr("actors.node.service.answer", answer)
    nodes = Nodes({"a": Node(lost=False), "b": Node(lost=True)})
    assert await nodes.usage({"a": {"data": 1, "learner-0": 2}, "b": {"rollout-1": 1}}) == {
        "data": used,
        "learner-0": used,
        "rollout-1": None,
    }


async def test_an_actor_of_a_node_that_died_is_there_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or nobody would see any more who is stopped."""

    class Node:
        def __init__(self, lives: bool) -> None:
            self.stopped = SimpleNamespace(remote=lambda pids: list(pids) if lives else None)

    async def answer(ref: Any, seconds: float, what: str, role: str) -> Any:
        if ref is None:
            raise LostError(f"{role} died during {what}", role)
        return ref

    monkeypatch.setattr("actors.node.service.answer", answer)
    nodes = Nodes({"a": Node(lives=False)})
    monkeypatch.setattr(nodes, "_begin", lambda node: nodes.actors.update({node: Node(lives=True)}))
    assert await nodes.stopped({"a": {"learner-0": 1}}) == set()
    assert await nodes.stopped({"a": {"learner-0": 1}}) == {"learner-0"}


async def test_a_node_that_is_silent_is_waited_for_until_ray_gives_it_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken connection tells of a lost worker long before Ray knows of its node; a busy node answers late."""

    class Node:
        def __init__(self, *answers: Any) -> None:
            left = list(answers)
            self.stopped = SimpleNamespace(remote=lambda pids: left.pop(0))

    looks: list[float] = []

    async def answer(ref: Any, seconds: float, what: str, role: str) -> Any:
        if isinstance(ref, Exception):
            raise ref
        return ref

    async def sleep(seconds: float) -> None:
        looks.append(seconds)

    monkeypatch.setattr("actors.node.service.answer", answer)
    monkeypatch.setattr("actors.node.service.asyncio.sleep", sleep)
    monkeypatch.setattr("actors.node.service.living_nodes", lambda: {"a", "c"} if len(looks) > 1 else {"a", "b", "c"})
    silent = DeadlineError("waited in vain")
    nodes = Nodes({"a": Node([], [], []), "b": Node(silent, silent), "c": Node(silent, [], [])})
    assert await nodes.lost() == {"b"}
    assert len(looks) == 2


async def test_a_node_of_which_ray_knows_nothing_bad_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its actor may be busy for longer than anybody waits; the look at what it has will say so."""

    async def answer(ref: Any, seconds: float, what: str, role: str) -> Any:
        raise DeadlineError("waited in vain")

    monkeypatch.setattr("actors.node.service.answer", answer)
    monkeypatch.setattr("actors.node.service.NOTICED_S", 0.0)
    monkeypatch.setattr("actors.node.service.living_nodes", lambda: {"a"})
    assert await Nodes({"a": SimpleNamespace(stopped=SimpleNamespace(remote=lambda pids: None))}).lost() == set()
