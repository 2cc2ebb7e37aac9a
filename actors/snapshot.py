"""A policy version in transit: its bytes, what they should contain, and the file they land in on a node."""

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch.multiprocessing.reductions import reduce_tensor

from effrl.errors import RunError

SHM = Path("/dev/shm")
Entry = tuple[str, tuple[int, ...], int]
"""(dtype, shape, CRC-32 of the bytes) of one tensor."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a version consists of, by tensor name."""

    tensors: dict[str, Entry]
    size: int = 0
    """Bytes of the serialised version."""

    @property
    def checksum(self) -> str:
        """One digest over all entries; a receipt carries the digest of what was loaded."""
        return blake2b(repr(sorted(self.tensors.items())).encode(), digest_size=16).hexdigest()


def entry(tensor: torch.Tensor) -> Entry:
    """The manifest entry of one tensor."""
    data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return str(tensor.dtype), tuple(tensor.shape), zlib.crc32(data.numpy().data)


def pack(tensors: dict[str, torch.Tensor]) -> tuple[NDArray[np.uint8], Manifest]:
    """Serialise tensors as safetensors, and list them."""
    data = safetensors.torch.save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    return np.frombuffer(data, np.uint8), replace(manifest_of(tensors), size=len(data))


def manifest_of(tensors: Mapping[str, torch.Tensor]) -> Manifest:
    """What tensors contain."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    return Manifest({name: entry(tensor) for name, tensor in tensors.items()}, size)


def shown(tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
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
    with safe_open(path, "pt") as file:
        arrived = {name: entry(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    names = arrived.keys() | manifest.tensors.keys()
    wrong = sorted(name for name in names if arrived.get(name) != manifest.tensors.get(name))
    if wrong:
        raise RunError(f"the weights in {path.name} arrived damaged: {', '.join(wrong[:3])}")


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a run's versions land in this node's memory; files are named by their content."""

    run: str
    """Name that no other run on the node has."""

    def path(self, manifest: Manifest) -> Path:
        return SHM / f"effrl-{self.run}-{manifest.checksum}.safetensors"

    def land(self, data: NDArray[np.uint8], manifest: Manifest) -> Path:
        """Write a version into memory; the first worker of the node does it, the others find it there."""
        path = self.path(manifest)
        if not path.exists():
            part = path.with_suffix(f".{os.getpid()}")
            part.write_bytes(data.data)
            part.rename(path)
        return path

    def drop(self, manifest: Manifest) -> None:
        """Free a version that every worker of the node has loaded."""
        self.path(manifest).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Free what an attempt of this run that was killed in the middle of a publish left behind."""
        for path in SHM.glob(f"effrl-{self.run}-*"):
            path.unlink(missing_ok=True)
