"""The tensors of a Hugging Face directory, one after the other, and one digest over all of them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from actors.snapshot import Manifest, entry


def digest_of(folder: Path) -> str:
    """The digest of a directory's tensors: names, types, shapes and bytes."""
    with ExitStack() as files:
        return Manifest({name: entry(tensor) for name, tensor in opened_tensors(folder, files)}).checksum


def opened_tensors(folder: Path, files: ExitStack) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors by name, of files that are all open already: one that is deleted meanwhile stays whole.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise FileNotFoundError(f"{folder} has no *.safetensors")
    shards: list[Any] = [files.enter_context(safe_open(file, framework="pt")) for file in found]
    return ((name, shard.get_tensor(name)) for shard in shards for name in list(shard.keys()))


def recorded(tensors: Iterator[tuple[str, torch.Tensor]], taken: Manifest) -> Iterator[tuple[str, torch.Tensor]]:
    """Pass tensors on; ``taken`` lists those that a model took, as it asks for the next one afterwards."""
    for name, tensor in tensors:
        yield name, tensor
        taken.tensors[name] = entry(tensor)
