"""A policy version in transit: the bytes of its tensors, and what they should contain."""

import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.multiprocessing.reductions import reduce_tensor

from effrl.errors import RunError

TensorEntry = tuple[str, tuple[int, ...], int]
"""(dtype, shape, CRC-32 of the bytes) of one tensor."""
Arrays = dict[str, NDArray[np.uint8]]
"""The bytes of each tensor, by name."""

_DTYPES = {str(dtype): dtype for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a version consists of, by tensor name."""

    tensors: dict[str, TensorEntry]
    size: int = 0
    """Bytes of all tensors."""

    @property
    def checksum(self) -> str:
        """One digest over all entries; a receipt carries the digest of what was loaded."""
        return blake2b(repr(sorted(self.tensors.items())).encode(), digest_size=16).hexdigest()


def entry(tensor: torch.Tensor) -> TensorEntry:
    """The manifest entry of one tensor."""
    return str(tensor.dtype), tuple(tensor.shape), zlib.crc32(_bytes(tensor).data)


def pack(tensors: Mapping[str, torch.Tensor]) -> tuple[Arrays, Manifest]:
    """Show tensors on the host as bytes, and list them. Nothing is copied but by Ray, into its object store."""
    data = {name: _bytes(tensor) for name, tensor in tensors.items()}
    return data, manifest_of(tensors)


def unpack(data: Arrays, manifest: Manifest) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a version by name, as views of its bytes: they can only be read."""
    for name, raw in data.items():
        dtype, shape, _ = manifest.tensors[name]
        with warnings.catch_warnings(action="ignore"):  # torch has no tensors that can only be read, and warns
            flat = torch.from_numpy(raw)
        yield name, flat.view(_DTYPES[dtype]).view(shape)


def verify(data: Arrays, manifest: Manifest) -> None:
    """Compare bytes that arrived with what the learner sent.

    Raises:
        RunError: a tensor is missing, unexpected, or has other bytes.
    """
    arrived = {name: zlib.crc32(raw.data) for name, raw in data.items()}
    sent = {name: checksum for name, (_, _, checksum) in manifest.tensors.items()}
    wrong = sorted(name for name in arrived.keys() | sent.keys() if arrived.get(name) != sent.get(name))
    if wrong:
        raise RunError(f"the weights of a version arrived damaged: {', '.join(wrong[:3])}")


def _bytes(tensor: torch.Tensor) -> NDArray[np.uint8]:
    raw: NDArray[np.uint8] = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return raw


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
