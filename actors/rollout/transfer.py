"""vLLM's side of both transports: engines of its weight-transfer API that load a version's bytes, or another's tensors.

The learner's rank 0 puts a version's bytes into Ray's object store, which carries one copy to each node; all rollout
workers there read it where it lies, in the node's shared memory.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.multiprocessing.reductions import rebuild_cuda_tensor
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory
from vllm.distributed.weight_transfer.ipc_engine import IPCWeightTransferUpdateInfo
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

from actors.snapshot import Arrays, Manifest, TensorEntry, entry, unpack

BACKEND = "effrl-shm"
# At each load it warns of modules without weights of their own: rotary embeddings, and the tied head that we re-pack.
logging.getLogger("vllm.model_executor.model_loader.reload.layerwise").setLevel(logging.ERROR)


@dataclass
class ShmInit(WeightTransferInitInfo):
    """Nothing to set up: the object store is the channel."""


@dataclass
class ShmUpdate(WeightTransferUpdateInfo):
    """A version, and what it should contain."""

    data: Arrays
    manifest: Manifest


class ShmTransfer(WeightTransferEngine[ShmInit, ShmUpdate]):
    """Loads a version's bytes into the running model, and remembers what the model took."""

    init_info_cls = ShmInit
    update_info_cls = ShmUpdate
    loaded: Manifest

    def init_transfer_engine(self, init_info: ShmInit) -> None:
        self.loaded = Manifest({})

    def start_weight_update(self) -> None:
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: ShmUpdate) -> None:
        """Load bytes that were verified: here it is too late, since the model has let go of its weights."""
        self.loaded = Manifest({})
        data, manifest = update_info.data, update_info.manifest
        sent = ((name, tensor, manifest.tensors[name]) for name, tensor in unpack(data, manifest))
        self.model.load_weights(self.recorded(sent))

    def recorded(self, tensors: Iterable[tuple[str, torch.Tensor, TensorEntry]]) -> Iterator[tuple[str, torch.Tensor]]:
        """Pass tensors on to the model; the receipt lists exactly those that it took."""
        for name, tensor, described in tensors:
            yield name, tensor
            self.loaded.tensors[name] = described

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)
        self.repack_tied_head()

    def repack_tied_head(self) -> None:
        """See :func:`repack`."""
        repack(self.model)

    def shutdown(self) -> None:
        """Nothing is held between updates."""


class IpcTransfer(ShmTransfer):
    """Loads tensors that a learner rank on the same GPU shows; not run yet."""

    update_info_cls = IPCWeightTransferUpdateInfo

    def receive_weights(self, update_info: IPCWeightTransferUpdateInfo) -> None:
        self.loaded = Manifest({})
        exported = zip(update_info.names, update_info.ipc_handles or (), strict=True)
        shown = ((name, opened(handle, self.device)) for name, handle in exported)
        self.model.load_weights(self.recorded((name, tensor, entry(tensor)) for name, tensor in shown))


def repack(model: Any) -> None:
    """On a CPU each linear packs a copy of its weight, and a tied head's copy would stay old without this."""
    if model.config.tie_word_embeddings:
        model.lm_head.quant_method.process_weights_after_loading(model.lm_head)


def opened(handle: dict[str, tuple[Any, ...]], device: torch.device) -> torch.Tensor:
    """A view of the tensor that another process shows on this GPU."""
    arguments = list(handle[str(torch.cuda.get_device_properties(device).uuid)])
    arguments[6] = device.index or 0  # each process numbers the devices that it sees by itself
    return rebuild_cuda_tensor(*arguments)


def register(engine: type[ShmTransfer]) -> None:
    """Make an engine class known to vLLM in this process."""
    WeightTransferEngineFactory.register_engine(BACKEND, engine)
