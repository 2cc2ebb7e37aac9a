"""A rollout worker with planted faults in its weight path (invariant 4), and a learner that can be looked into."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.learner import LearnerRank
from actors.rollout import RolloutWorker
from actors.snapshot import Manifest
from effrl.packing import MicroBatch
from effrl.types import Receipt

SKIPPED = "model.layers.2.mlp.down_proj.weight"


class FaultyWorker(RolloutWorker):
    """Loads weights wrongly on demand: the head not re-packed, a shard skipped, or nothing at all; receipts lie."""

    fault = ""

    def plant(self, fault: str) -> None:
        FaultyWorker.fault = fault

    def transfer(self) -> Any:
        from actors.transfer import ShmTransfer

        class Faulty(ShmTransfer):
            def repack_tied_head(self) -> None:
                if FaultyWorker.fault != "head":
                    super().repack_tied_head()

            def recorded(self, tensors: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
                for name, tensor in super().recorded(tensors):
                    # The old value stands in for a tensor that was lost on the way: it is on the receipt all the same.
                    yield name, self.old[name] if FaultyWorker.fault == "shard" and name == SKIPPED else tensor
                    self.old.setdefault(name, tensor.clone())

            old: dict[str, Any] = {}  # noqa: RUF012 - one engine per process

        return Faulty

    def load(self, data: NDArray[np.uint8], manifest: Manifest, version: int) -> Receipt:
        if self.fault == "nothing":
            return Receipt(self.name, version, manifest.checksum)
        return super().load(data, manifest, version)

    def load_torn(self, data: NDArray[np.uint8], manifest: Manifest, version: int) -> Receipt:
        """A version with one byte flipped on its way."""
        torn = data.copy()
        torn[-1] ^= 1
        return super().load(torn, manifest, version)


class OpenRank(LearnerRank):
    """Shows the gradient that the optimizer used."""

    def gradients(self) -> dict[str, NDArray[np.float32]]:
        """By parameter: with beta1 = 0, Adam's first moment after a step is the reduced and clipped gradient."""
        from deepspeed.utils import safe_get_full_optimizer_state

        return {
            name: safe_get_full_optimizer_state(tensor, "exp_avg").numpy().copy()
            for name, tensor in self.engine.parameters()
        }

    def with_old(self, batches: list[MicroBatch]) -> list[MicroBatch]:
        """Micro-batches with the log-probs of the current weights."""
        return [self._with_old(batch) for batch in batches]

    def save_to(self, directory: Path) -> None:
        self.save(directory)
