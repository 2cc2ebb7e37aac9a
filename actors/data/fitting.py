"""Fitting a difficulty network with Ray Train: one process, or several that average their gradients."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray.train import Checkpoint, LoggingConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, prepare_model

from effrl.difficulty.network import DifficultyNetwork
from effrl.difficulty.offline import untrained
from effrl.difficulty.training import Examples, Fit, LossShare, fit

_WEIGHTS = "network.pt"


@dataclass(frozen=True, slots=True)
class FitTask:
    """What every worker gets."""

    parts: Sequence[Examples]
    how: Fit
    hidden: int
    layers: int

    @property
    def network(self) -> DifficultyNetwork:
        """The network before the first step, the same in every process."""
        return untrained(self.parts[0].embeddings.shape[1], self.hidden, self.layers, self.how.seed)


def train(task: FitTask, workers: int) -> tuple[DifficultyNetwork, list[float]]:
    """Fit a network on ``workers`` CPUs of a connected Ray; it, and the mean loss of every epoch.

    Raises:
        ray.train.TrainingFailedError: a worker failed.
    """
    with tempfile.TemporaryDirectory(prefix="effrl-fit-") as folder:
        trainer = TorchTrainer(
            _fit,
            train_loop_config={"task": task},
            scaling_config=ScalingConfig(num_workers=workers, resources_per_worker={"CPU": 1}),
            run_config=RunConfig(
                name="difficulty", storage_path=folder, logging_config=LoggingConfig(log_level="ERROR")
            ),
        )
        result = trainer.fit()
        assert result.checkpoint is not None, "the first worker reports one"
        with result.checkpoint.as_directory() as saved:
            network = task.network
            network.load_state_dict(torch.load(Path(saved) / _WEIGHTS, weights_only=True))
        return network.eval(), list(result.metrics["losses"])


def _fit(config: dict[str, Any]) -> None:
    """What one worker does."""
    task: FitTask = config["task"]
    context = ray.train.get_context()
    share = LossShare(context.get_world_rank(), context.get_world_size())
    network = task.network
    losses = fit(prepare_model(network), task.parts, task.how, share)
    with tempfile.TemporaryDirectory() as folder:
        if share.rank == 0:
            torch.save(network.state_dict(), Path(folder) / _WEIGHTS)
        ray.train.report({"losses": losses}, Checkpoint.from_directory(folder) if share.rank == 0 else None)
