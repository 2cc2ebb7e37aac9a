"""The implicit PRM: one actor per DeepSpeed rank, a model that learns and its reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from actors.ranks.role import RankRole, join
from effrl.config.process import ImplicitPrm
from effrl.learn.packing import MicroBatch
from effrl.process.examples import PrmBatch, idle
from effrl.process.losses import prm_losses
from effrl.process.steps import pieces_of
from effrl.run.checkpoint import PRM_MODEL
from effrl.run.files import written
from effrl.saved import SavedFile
from effrl.types import Float32

if TYPE_CHECKING:
    from actors.ranks.rank import FrozenModel, LossSums

FOLDER = "prm"
"""Of a checkpoint."""

LogRatioRows = list[list[Float32]]
"""Log-ratios [T] of each row of each micro-batch."""


@dataclass(frozen=True, slots=True)
class PrmOptions:
    """What a rank is started with."""

    model: str
    reference: str | None
    """The policy's initial model; None where the policy of the moment is the reference."""
    dtype: str
    process: ImplicitPrm
    temperature: float
    """At which rollouts are sampled: all log-probs are of logits divided by it."""
    rank: int
    world_size: int
    shares_gpu: bool = False
    """Whether it leaves its GPU to others between uses."""


class PrmRank(RankRole):
    """One rank."""

    def __init__(self, name: str, run_dir: Path, version: str, options: PrmOptions) -> None:
        super().__init__(name, run_dir, version)
        self.options = options
        self.reference: FrozenModel | None = None

    def start(self, host: str, port: int) -> None:
        """Join the group, load both models, and make way for others where the GPU is shared."""
        join(self.options.rank, self.options.world_size, host, port)
        self.load()
        if self.options.shares_gpu:
            self.sleep()

    def load(self) -> None:
        """Make the model that learns, and its reference."""
        from actors.ranks.rank import DeepSpeedRank, FrozenModel  # reads the environment when it is imported

        options, learn = self.options, self.options.process.learn
        self.engine = DeepSpeedRank(options.model, options.dtype, learn)
        if options.reference is not None:
            self.reference = FrozenModel(options.reference, options.dtype, self.engine.device, learn.zero == 3)

    def step(self, batches: Sequence[PrmBatch], rows: int, rate: float) -> tuple[LogRatioRows, dict[str, float]]:
        """One optimizer step over this rank's batches.

        Args:
            rows: rollouts in the step, of all ranks.
            rate: learning rate.

        Returns:
            Log-ratios before the step, of this rank's batches; and metrics of all ranks.
        """
        seen: LogRatioRows = []
        own = self.engine.filled(batches, idle(self.reference is None))
        self.engine.set_learning_rate(rate)
        sums = self.engine.accumulate(own, partial(self._loss, seen=seen), rows)
        norm = self.engine.step()
        [loss] = self.engine.sum_over_ranks([float(sums["loss"])])
        return seen[: len(batches)], {"process/loss": loss / rows, "process/grad_norm": norm}

    @torch.no_grad()
    def score(self, batches: Sequence[MicroBatch]) -> LogRatioRows:
        """Log-ratios under the weights of the moment."""
        own = self.engine.filled(batches, idle(self.reference is None).batch)
        return [_rows(batch, self._logratios(batch)) for batch in own][: len(batches)]

    def pieces(self, texts: Sequence[Sequence[int]]) -> list[list[str]]:
        """The text that each token adds to its own."""
        return [pieces_of(text, self.engine.tokenizer.decode) for text in texts]

    def save(self, checkpoint: Path) -> dict[str, SavedFile]:
        """Write this rank's part of a checkpoint; rank 0 also exports a Hugging Face directory.

        Returns:
            The files that this rank wrote, as its node sees them.
        """
        files = [*self.engine.save(checkpoint / FOLDER), *self.engine.export(checkpoint / PRM_MODEL)]
        return written(checkpoint, files)

    def restore(self, checkpoint: Path) -> None:
        """Load model, optimizer and random states of a checkpoint."""
        self.engine.restore(checkpoint / FOLDER)

    def sleep(self) -> None:
        """Leave the GPU to others."""
        self.engine.offload()
        if self.reference is not None:
            self.reference.move("cpu")

    def wake(self) -> None:
        """Take the GPU back."""
        self.engine.reload()
        if self.reference is not None:
            self.reference.move(self.engine.device)

    def _loss(self, work: PrmBatch, seen: LogRatioRows) -> "LossSums":
        logratios = self._logratios(work.batch)
        seen.append(_rows(work.batch, logratios.detach()))
        mask, target, shift, weight = (
            torch.tensor(array, device=logratios.device)
            for array in (work.batch.mask, work.target, work.shift, work.weight)
        )
        losses = prm_losses(logratios, mask, target, shift, self.options.process.beta)
        return {"loss": (weight * losses).sum()}

    def _logratios(self, batch: MicroBatch) -> Tensor:
        """[B, L], in float32 at least: a difference of numbers in bfloat16 would be rounding."""
        logprobs, *_ = self.engine.score(batch, self.options.temperature)
        if self.reference is None:
            assert batch.old is not None, "the policy is the reference"
            return logprobs - torch.tensor(batch.old, device=logprobs.device)
        return logprobs - self.reference.logprobs(batch, self.options.temperature)


def _rows(batch: MicroBatch, logratios: Tensor) -> list[Float32]:
    values = logratios.cpu().numpy()
    return [row[mask > 0] for row, mask in zip(values, batch.mask, strict=True)]
