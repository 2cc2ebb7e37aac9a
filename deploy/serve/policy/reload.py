"""What vLLM's worker learns to do besides: take the weights of a checkpoint in place of its own."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from actors.rollout.transfer import repack
from actors.snapshot import Manifest
from deploy.serve.policy.weights import opened_tensors, recorded

if TYPE_CHECKING:
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner


class TakesCheckpoints:
    """Mixed into each worker (``worker_extension_cls``); its methods are called by name."""

    model_runner: "GPUModelRunner"

    def take_checkpoint(self, folder: str) -> str:
        """Load the model of a Hugging Face directory; returns the digest of what the model took.

        All files are opened before the model is touched: those of a run may be deleted at any time. A failure after
        that leaves a broken model, not the old one.
        """
        taken = Manifest({})
        with ExitStack() as files:
            tensors = opened_tensors(Path(folder), files)
            self.model_runner.reload_weights(weights_iterator=recorded(tensors, taken))
            repack(self.model_runner.get_model())
        return taken.checksum
