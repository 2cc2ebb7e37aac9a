"""A model on its way to nodes that lack it: once to each, in pieces, through Ray's object store.

A copy lies in a hidden folder beside its place until it is whole, so nobody ever loads half a model.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from actors.wait import answers
from effrl.errors import RunError, UserError
from effrl.models import files_of

PIECE = 64 * 2**20
"""Bytes that go at a time: all that it takes of the memory of a node."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A model that arrives on this node."""

    place: Path
    arriving: Path

    @classmethod
    def begin(cls, place: Path, size: int) -> "Copy":
        """Make room for ``size`` bytes at a place.

        Raises:
            OSError: nothing can be kept there, or the disk has less room.
        """
        place.parent.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(place.parent).free) < size:
            raise OSError(f"its disk has {free / 2**30:.1f} GiB left")
        return cls(place, Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent)))

    def add(self, name: str, piece: bytes) -> None:
        """Append to a file."""
        with (self.arriving / name).open("ab") as file:
            file.write(piece)

    def end(self, size: int) -> None:
        """Put the whole model into its place, unless another run was faster.

        Raises:
            OSError: it is not whole, or something else is there.
        """
        arrived = sum(file.stat().st_size for file in self.arriving.iterdir())
        if arrived != size:
            raise OSError(f"{arrived:,} of {size:,} bytes have arrived")
        if is_there(self.place):
            self.drop()
        else:
            self.arriving.chmod(0o755)
            os.replace(self.arriving, self.place)

    def drop(self) -> None:
        """Leave nothing of it."""
        shutil.rmtree(self.arriving)


def is_there(model: Path) -> bool:
    """Whether this node has a model."""
    return (model / "config.json").is_file()


async def ship(model: Path, nodes: Mapping[str, Any], seconds: float) -> None:
    """Have nodes keep a copy of a model where the driver has it.

    Args:
        model: the directory, whose files are read one piece after the other.
        nodes: handles of their actors, by the names that errors tell.
        seconds: deadline of each piece.

    Raises:
        UserError: one line about a node that cannot keep it there.
        DeadlineError: a piece did not arrive.
        LostError: a node is gone.
    """
    files = files_of(model)
    size = sum(file.stat().st_size for file in files)

    async def everywhere(method: str, *arguments: Any) -> None:
        asked = {name: getattr(node, method).remote(model, *arguments) for name, node in nodes.items()}
        await answers(asked, seconds, f"its copy of {model}")

    try:
        await everywhere("expect", size)
        for file in files:
            for piece in _pieces(file):
                await everywhere("keep", file.name, ray.put(piece))
        await everywhere("complete", size)
    except (UserError, RunError):
        with suppress(RunError):  # a node that is gone
            await everywhere("forget")
        raise


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        yield stream.read(PIECE)  # of an empty file, too
        while piece := stream.read(PIECE):
            yield piece
