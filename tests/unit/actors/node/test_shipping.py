"""A model that nodes lack is sent there once, whole, or one line says why it cannot be."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.node import shipping
from actors.node.actor import NodeActor, NodeNeeds
from actors.node.service import Nodes
from actors.node.shipping import ship
from effrl.errors import UserError
from tests.unit.actors.fake_actor import Handle

PIECE = 1000
FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 17, "tokenizer.json": b""}


class Node(NodeActor):
    """A node with a disk of its own: what is asked for at a place of the driver's is looked for below its root."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root
        self.pieces: list[int] = []

    def lacks(self, models: Any) -> list[Path]:
        return [model for model in models if super(Node, self).lacks([self.here(model)])]

    def expect(self, model: Path, size: int) -> None:
        super().expect(self.here(model), size)

    def keep(self, model: Path, name: str, piece: bytes) -> None:
        self.pieces.append(len(piece))
        super().keep(self.here(model), name, piece)

    def complete(self, model: Path, size: int) -> None:
        super().complete(self.here(model), size)

    def forget(self, model: Path) -> None:
        super().forget(model if model in self.copies else self.here(model))

    def here(self, model: Path) -> Path:
        return self.root / model.relative_to(model.anchor)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As the hub keeps it: links to the files; and with a file that nobody loads."""
    monkeypatch.setattr(shipping, "PIECE", PIECE)
    monkeypatch.setattr("actors.node.shipping.ray", SimpleNamespace(put=bytes))
    place, blobs = tmp_path / "hub" / "model", tmp_path / "hub" / "blobs"
    place.mkdir(parents=True)
    blobs.mkdir()
    for name, content in FILES.items():
        (blobs / name).write_bytes(content)
        (place / name).symlink_to(blobs / name)
    (place / "optimizer.pt").write_bytes(bytes(9999))
    return place


def read(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def test_each_node_that_lacks_a_model_gets_it_once(tmp_path: Path, model: Path) -> None:
    nodes = {name: Node(tmp_path / name) for name in ("a", "b", "has it")}
    nodes["has it"].here(model).mkdir(parents=True)
    (nodes["has it"].here(model) / "config.json").touch()
    service = Nodes({name: Handle(node) for name, node in nodes.items()})
    needs = dict.fromkeys(nodes, NodeNeeds((model,)))
    assert await service.check(needs, 5.0) == {"a", "b"}
    assert await service.check(needs, 5.0) == set()
    for name in ("a", "b"):
        place = nodes[name].here(model)
        assert read(place) == FILES and not any(file.is_symlink() for file in place.iterdir())
        assert [entry.name for entry in place.parent.iterdir()] == ["model"], "nothing half is left beside it"
        assert max(nodes[name].pieces) == PIECE and sum(nodes[name].pieces) == sum(map(len, FILES.values()))
    assert nodes["has it"].pieces == []


async def refusal(model: Path, node: Node) -> str:
    with pytest.raises(UserError) as caught:
        await ship(model, {"node a": Handle(node)}, 5.0)
    assert "\n" not in str(caught.value)
    assert f"node {node.host} has no model at" in str(caught.value) and "put it on a disk" in str(caught.value)
    return str(caught.value)


async def test_a_disk_without_room_is_one_line(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipping.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    assert "its disk has 0.0 GiB left" in await refusal(model, node := Node(tmp_path / "a"))
    assert node.pieces == []


async def test_a_place_where_nothing_can_be_kept_is_one_line(tmp_path: Path, model: Path) -> None:
    (tmp_path / "a").write_text("a file where a folder is wanted")
    assert "Not a directory" in await refusal(model, Node(tmp_path / "a"))


async def test_a_disk_that_is_full_on_the_way_keeps_nothing(tmp_path: Path, model: Path) -> None:
    class Full(Node):
        def keep(self, model: Path, name: str, piece: bytes) -> None:
            with self._keeping(self.here(model)):
                super().keep(model, name, piece)
                if len(self.pieces) == 3:
                    raise OSError("No space left on device")

    full, other = Full(tmp_path / "a"), Node(tmp_path / "b")
    with pytest.raises(UserError, match="No space left on device"):
        await ship(model, {"node a": Handle(full), "node b": Handle(other)}, 5.0)
    for node in (full, other):
        assert node.pieces and list(node.here(model).parent.iterdir()) == []


async def test_what_did_not_arrive_whole_is_not_put_into_its_place(tmp_path: Path, model: Path) -> None:
    class Loses(Node):
        def keep(self, model: Path, name: str, piece: bytes) -> None:
            super().keep(model, name, piece[1:])

    node = Loses(tmp_path / "a")
    assert "bytes have arrived" in await refusal(model, node)
    assert list(node.here(model).parent.iterdir()) == []


async def test_two_runs_that_send_at_once_both_find_it(tmp_path: Path, model: Path) -> None:
    one, other = Node(tmp_path / "a"), Node(tmp_path / "a")
    size = sum(map(len, FILES.values()))
    for node in (one, other):
        node.expect(model, size)
        for name, content in FILES.items():
            node.keep(model, name, content)
    one.complete(model, size)
    other.complete(model, size)
    assert read(one.here(model)) == FILES
    assert os.listdir(one.here(model).parent) == ["model"]
