"""A policy version in transit: its bytes, what they should contain, and the file they land in on a node."""

import os
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from safetensors import safe_open

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
    manifest = Manifest({name: entry(tensor) for name, tensor in tensors.items()}, len(data))
    return np.frombuffer(data, np.uint8), manifest


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
