"""A policy version in transit: its bytes, what they should contain, and the file they land in on a node."""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch.multiprocessing.reductions import reduce_tensor

from effrl.errors import RunError

SHM = Path("/dev/shm")
TensorEntry = tuple[str, tuple[int, ...], int]
"""(dtype, shape, CRC-32 of the bytes) of one tensor."""

_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a version consists of, by tensor name."""

    tensors: dict[str, TensorEntry]
    size: int = 0
    """Bytes of the serialised version."""

    @property
    def checksum(self) -> str:
        """One digest over all entries; a receipt carries the digest of what was loaded."""
        return blake2b(repr(sorted(self.tensors.items())).encode(), digest_size=16).hexdigest()


def entry(tensor: torch.Tensor) -> TensorEntry:
    """The manifest entry of one tensor."""
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return str(tensor.dtype), tuple(tensor.shape), zlib.crc32(data.numpy().data)


def pack(tensors: Mapping[str, torch.Tensor]) -> tuple[NDArray[np.uint8], Manifest]:
    """Serialise tensors as safetensors, and list them.

    Each is copied once, to its place; the library's ``save`` copies all of them twice. Wide types come first, so that
    every tensor is aligned.
    """
    header: dict[str, dict[str, Any]] = {}
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: -item[1].element_size()):
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    head = len(text).to_bytes(8, "little") + text
    data = np.empty(len(head) + end, np.uint8)
    data[: len(head)] = np.frombuffer(head, np.uint8)
    body, entries = torch.from_numpy(data)[len(head) :], {}
    for name, described in header.items():
        tensor, (start, end) = tensors[name], described["data_offsets"]
        place = body[start:end].view(tensor.dtype).view(tensor.shape).copy_(tensor.detach())
        entries[name] = entry(place)
    return data, Manifest(entries, len(data))


def manifest_of(tensors: Mapping[str, torch.Tensor]) -> Manifest:
    """What tensors contain."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    return Manifest({name: entry(tensor) for name, tensor in tensors.items()}, size)


def handles_of(tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Handles of tensors on a GPU, as vLLM's ``IPCWeightTransferUpdateInfo`` has them; not run yet.

    A handle does not keep its tensor alive: hold on to the tensors until everybody has loaded them.
    """
    device = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        "names": list(tensors),
        "dtype_names": [str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()],
        "shapes": [list(tensor.shape) for tensor in tensors.values()],
        "ipc_handles": [{str(device.uuid): reduce_tensor(tensor)[1]} for tensor in tensors.values()],
    }


def verify(path: Path, manifest: Manifest) -> None:
    """Compare a landed file with what the learner sent.

    Raises:
        RunError: a tensor is missing, unexpected, or differs in type, shape or bytes.
    """
    arrived = {name: entry(tensor) for name, tensor in mapped(path)}
    names = arrived.keys() | manifest.tensors.keys()
    wrong = sorted(name for name in names if arrived.get(name) != manifest.tensors.get(name))
    if wrong:
        raise RunError(f"the weights of a version arrived damaged: {', '.join(wrong[:3])}")


def mapped(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights in a safetensors file, by name, as views of the mapped file.

    Not with the library's ``get_tensor``: in safetensors 0.8 each call leaves two Python integers behind, and an engine
    that verifies and loads a version per step grew by 7 KB each time.

    Raises:
        SafetensorError: the file is damaged.
        KeyError: a tensor is not of floats.
    """
    flat = torch.from_file(str(path), shared=False, size=path.stat().st_size, dtype=torch.uint8)
    with safe_open(path, "np") as file:
        parts = [(name, file.get_slice(name)) for name in file.offset_keys()]
    shapes = [(name, _DTYPES[part.get_dtype()], part.get_shape()) for name, part in parts]
    sizes = [dtype.itemsize * prod(shape) for _, dtype, shape in shapes]
    pieces = flat[len(flat) - sum(sizes) :].split(sizes)  # the format has no gaps, and its header comes first
    for (name, dtype, shape), piece in zip(shapes, pieces, strict=True):
        yield name, piece.view(dtype).view(shape)


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a run's versions land in this node's memory; files are named by their content."""

    run: str
    """Name that no other run on the node has."""

    def path(self, manifest: Manifest) -> Path:
        return SHM / f"effrl-{self.run}-{manifest.checksum}.safetensors"

    def land(self, data: NDArray[np.uint8], manifest: Manifest) -> Path:
        """Write a version into memory and check it; the first worker of the node does it, the others find it there.

        Raises:
            RunError: what arrived is not what was sent; nothing of it stays in memory.
        """
        path = self.path(manifest)
        if not path.exists():
            part = path.with_suffix(f".{os.getpid()}")
            try:
                part.write_bytes(data.data)
                verify(part, manifest)
                part.rename(path)
            finally:
                part.unlink(missing_ok=True)
        return path

    def drop(self, manifest: Manifest) -> None:
        """Free a version that every worker of the node has loaded."""
        self.path(manifest).unlink(missing_ok=True)
