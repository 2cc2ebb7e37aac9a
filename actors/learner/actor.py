"""The policy learner: one actor per DeepSpeed rank, and the group that the driver speaks to."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from actors.learner.objective import Objective, Rules, Watch, as_array
from actors.ranks.role import RankRole, join
from actors.snapshot import Arrays, Manifest, handles_of, manifest_of, pack
from effrl import plugins
from effrl.config.learn import LearnConfig
from effrl.errors import UserError
from effrl.learn.canary import Tolerance
from effrl.learn.packing import MicroBatch, Size, ends, pad, unweighted
from effrl.loss.build import surrogate
from effrl.run.checkpoint import MODEL
from effrl.run.files import written
from effrl.saved import SavedFile
from effrl.types import Canary, Float32, Int32

if TYPE_CHECKING:
    from actors.ranks.rank import FrozenModel

RowView = tuple[Float32, Float32 | None]
"""Of one row: log-probs [T] of its sampled tokens; hidden states [2, H] of the prompt's last token and its last one."""

AMPLITUDES = 0.05, 100.0
"""Of the drill's noise, in root mean squares of a tensor: where the search begins, and where it ends."""
FOLDER = "learner"
"""Of a checkpoint, beside the exported model."""


@dataclass(frozen=True, slots=True)
class LearnerOptions:
    """What a rank is started with."""

    model: str
    dtype: str
    learn: LearnConfig
    rank: int
    world_size: int
    reference: str | None = None
    """The initial model, where a loss keeps the policy near it."""
    value_head: bool = False
    """Whether advantages come from values."""
    rules: tuple[Rules, ...] = ()
    """That steps will have: a loss of the user's own that cannot be loaded here is no matter for the first step."""
    search_path: tuple[str, ...] = ()
    """Where the user's own modules lie."""


class LearnerRank(RankRole):
    """One rank; every method is called on all ranks in the same order."""

    def __init__(self, name: str, run_dir: Path, version: str, options: LearnerOptions) -> None:
        super().__init__(name, run_dir, version)
        self.options = options
        self.reference: FrozenModel | None = None
        self.exported: dict[str, torch.Tensor] = {}
        self.seen: dict[int, Float32] = {}

    def start(self, host: str, port: int) -> None:
        """Join the group and load the model."""
        options = self.options
        join(options.rank, options.world_size, host, port)
        plugins.search(options.search_path)
        for rules in options.rules:
            surrogate(rules.loss, rules.clip)
        from actors.ranks.rank import DeepSpeedRank, FrozenModel  # reads the environment when it is imported

        self.engine = DeepSpeedRank(options.model, options.dtype, options.learn, value_head=options.value_head)
        if options.reference is not None:
            self.reference = FrozenModel(options.reference, options.dtype, self.engine.device)

    def step(
        self,
        updates: Sequence[Sequence[MicroBatch]],
        sizes: Sequence[Size],
        rules: Rules,
        canary: Canary | None = None,
    ) -> dict[str, float]:
        """One optimizer step per update, over this rank's micro-batches of it; see :class:`Objective`.

        Args:
            canary: whole sequences of the first update, whose log-probs :meth:`watched` is going to tell.
        """
        watch = None if canary is None else Watch(canary)
        metrics = Objective(self.engine, self.reference, rules).step(updates, sizes, watch)
        self.seen = {} if watch is None else watch.found
        return metrics

    def forget(self) -> None:
        """Begin with an optimizer that has no memory of gradients; called on all ranks."""
        self.engine.forget()

    def watched(self) -> dict[int, Float32]:
        """Log-probs before the last step of those sequences of its canary that this rank had, by place in it."""
        return self.seen

    @torch.no_grad()
    def logprobs(self, canary: Canary) -> Float32:
        """Log-probs of the canary's sampled tokens under the learner's current weights, concatenated; at temperature 1,
        as the engine scores given tokens."""
        scored, *_ = self.engine.score(pad([unweighted(*pair) for pair in _pairs(canary)]))
        rows = [row[start : len(ids)] for row, (ids, start) in zip(scored, _pairs(canary), strict=True)]
        return as_array(torch.cat(rows))

    @torch.no_grad()
    def view(self, batches: Sequence[MicroBatch], temperature: float, states: bool) -> list[list[RowView]]:
        """What the weights of the moment make of each row of each micro-batch: one forward pass, nothing is learned.

        Args:
            temperature: by which logits are divided.
            states: whether hidden states are wanted besides log-probs.
        """
        found = [self._rows(batch, temperature, states) for batch in self.engine.even(batches)]
        return found[: len(batches)]

    def _rows(self, batch: MicroBatch, temperature: float, states: bool) -> list[RowView]:
        scores = self.engine.score(batch, temperature, ends(batch) if states else None)
        logprobs = [row[mask > 0] for row, mask in zip(as_array(scores[0]), batch.mask, strict=True)]
        return list(zip(logprobs, as_array(scores[-1]) if states else [None] * len(logprobs), strict=True))

    def snapshot(self) -> tuple[Arrays, Manifest]:
        """The current weights as bytes, and what they contain; of rank 0, whom the others give theirs."""
        return pack(dict(self.engine.parameters.published()))

    def export_ipc(self) -> tuple[dict[str, Any], Manifest]:
        """The current weights for another process on this GPU, and what they contain; until :meth:`release_ipc`."""
        self.exported = self.engine.parameters.exported()
        return handles_of(self.exported), manifest_of(self.exported)

    def release_ipc(self) -> None:
        """Forget what :meth:`export_ipc` handed out: nobody reads it any more."""
        self.exported = {}

    def parameter_kinds(self) -> list[str]:
        """The kinds of parameters that the start-up drill perturbs one at a time."""
        return self.engine.parameters.kinds()

    def perturb(self, kind: str, canary: Canary, before: Float32, tolerance: Tolerance) -> Float32 | None:
        """Add noise to all parameters of a kind, as much as it takes to move the canary as far as a drill must.

        Kinds that are perturbed already stay so.

        Args:
            before: the canary's log-probs under the weights of now.

        Returns:
            Those under the perturbed weights; None where no noise moves them so far: then nothing is changed.
        """
        wanted, (amplitude, largest) = tolerance.drill * tolerance.nats, AMPLITUDES
        while True:
            self.engine.parameters.perturb(kind, amplitude)
            after = self.logprobs(canary)
            moved = self.engine.mean_over_ranks(tolerance.distance(after, before))  # all must stop together
            if moved >= wanted:
                return after
            if amplitude >= largest:
                self.engine.parameters.undo(kind)
                return None
            # Log-probs move about linearly.
            amplitude = min(largest, amplitude * min(16.0, max(2.0, 1.5 * wanted / max(moved, 1e-9))))

    def logprobs_without(self, kind: str, canary: Canary) -> Float32:
        """The canary's log-probs if a perturbed kind alone were as it was; it stays perturbed."""
        with self.engine.parameters.without(kind):
            return self.logprobs(canary)

    def undo_perturb(self) -> None:
        """Undo :meth:`perturb`, to the bit."""
        for kind in list(self.engine.parameters.perturbed):
            self.engine.parameters.undo(kind)

    def save(self, checkpoint: Path) -> dict[str, SavedFile]:
        """Write this rank's part of a checkpoint; rank 0 also exports a Hugging Face directory.

        Returns:
            The files that this rank wrote, as its node sees them.
        """
        files = [*self.engine.save(checkpoint / FOLDER), *self.engine.export(checkpoint / MODEL)]
        return written(checkpoint, files)

    def restore(self, checkpoint: Path) -> None:
        """Load model, optimizer and random states of a checkpoint."""
        self.engine.restore(checkpoint / FOLDER)

    def sees(self, path: Path) -> None:
        """Look for a file that the driver wrote.

        Raises:
            UserError: it is not there, so that what is written here could not be seen there.
        """
        if not path.is_file():
            raise UserError(
                f"{path} of the driver is not seen on {socket.gethostname()}, where {self.name} runs:"
                " put run.dir on storage that all nodes share"
            )


def _pairs(canary: Canary) -> list[tuple[Int32, int]]:
    return list(zip(canary.ids, canary.prompt_lengths, strict=True))
