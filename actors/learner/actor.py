"""The policy learner: one actor per DeepSpeed rank, and the group that the driver speaks to."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from actors.role import Role
from actors.snapshot import Manifest, handles_of, manifest_of, pack
from effrl import plugins
from effrl.advantage.gae import gae, value_loss
from effrl.config.advantage import GaeAdvantage
from effrl.config.learn import LearnConfig
from effrl.config.loss import AnyLoss, Clip
from effrl.errors import UserError
from effrl.learn.canary import Tolerance
from effrl.learn.packing import MicroBatch, Size, ends, pad, unweighted
from effrl.loss.build import surrogate
from effrl.loss.importance import effective_sample_size, importance_sums
from effrl.loss.policy import k3, policy_loss, token_weights
from effrl.loss.tokens import Tokens
from effrl.run.checkpoint import MODEL
from effrl.run.files import written
from effrl.types import Canary, Float32, Int32, SavedFile

if TYPE_CHECKING:
    from actors.ranks.rank import DeepSpeedRank, FrozenModel, LossSums

RowView = tuple[Float32, Float32 | None]
"""Of one row: log-probs [T] of its sampled tokens; hidden states [2, H] of the prompt's last token and its last one."""

PER_TOKEN = {
    "entropy": "policy/entropy",
    "clipped": "policy/clip_fraction",
    "mismatch_kl": "mismatch/kl",
    "truncated": "mismatch/truncated_fraction",
    "kl": "loss/kl",
    "value": "loss/value",
}
"""Sums over the tokens that are learned from, and the metrics that their means are."""
AMPLITUDES = 0.05, 100.0
"""Of the drill's noise, in root mean squares of a tensor: where the search begins, and where it ends."""
FOLDER = "learner"
"""Of a checkpoint, beside the exported model."""
LARGEST = "mismatch/weight_max"
"""The largest importance weight of a token, before it is cut."""


@dataclass(frozen=True, slots=True)
class LearnerOptions:
    """What a rank is started with."""

    model: str
    dtype: str
    learn: LearnConfig
    loss: AnyLoss
    rank: int
    world_size: int
    reference: str | None = None
    """The initial model, where the loss keeps the policy near it."""
    temperature: float = 1.0
    """At which rollouts are sampled: their log-probs are of logits divided by it, and so are all that they meet."""
    gae: GaeAdvantage | None = None
    """Where advantages come from a value head."""
    clip: Clip = "centered"
    """Where the clip of a token lies that an older policy sampled."""
    search_path: tuple[str, ...] = ()
    """Where the user's own modules lie."""


class LearnerRank(Role):
    """One rank; every method is called on all ranks in the same order."""

    def __init__(self, name: str, run_dir: Path, version: str, options: LearnerOptions) -> None:
        super().__init__(name, run_dir, version)
        self.options = options
        self.reference: FrozenModel | None = None
        self.exported: dict[str, torch.Tensor] = {}

    def address(self) -> tuple[str, int]:
        """Host and a free port of this rank's node, for the group's rendezvous; chosen by the rank that binds it."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), int(probe.getsockname()[1])

    def start(self, host: str, port: int) -> None:
        """Join the group and load the model."""
        options = self.options
        os.environ.update(
            RANK=str(options.rank),
            WORLD_SIZE=str(options.world_size),
            LOCAL_RANK="0",
            LOCAL_SIZE=str(options.world_size),
            MASTER_ADDR=host,
            MASTER_PORT=str(port),
        )
        plugins.search(options.search_path)
        surrogate(options.loss, options.clip)  # a loss that cannot be loaded here is no matter for the first step
        from actors.ranks.rank import DeepSpeedRank, FrozenModel  # reads the environment when it is imported

        self.engine = DeepSpeedRank(options.model, options.dtype, options.learn, value_head=options.gae is not None)
        if options.reference is not None:
            self.reference = FrozenModel(options.reference, options.dtype, self.engine.device)

    def step(
        self, updates: Sequence[Sequence[MicroBatch]], sizes: Sequence[Size], learning_rate: float
    ) -> dict[str, float]:
        """One optimizer step per update, over this rank's micro-batches of it.

        Metrics are means over the updates, but for the largest weight, which is the largest of all.

        The old policy is that before the first update, for all of them. The first has it in its own forward pass; for
        the others it is scored ahead.
        """
        self.engine.set_learning_rate(learning_rate)
        evened = [self.engine.even(batches) for batches in updates]
        prepared, found = self._prepared(evened)
        done = [self._update(batches, size) for batches, size in zip(prepared, sizes, strict=True)]
        means = {name: sum(metrics[name] for metrics in done) / len(done) for name in done[0]}
        return {**means, LARGEST: max(metrics[LARGEST] for metrics in done), **found}

    def _prepared(self, updates: list[list[MicroBatch]]) -> tuple[list[list[MicroBatch]], dict[str, float]]:
        """Micro-batches with what must be known of the old policy before the first update, and metrics of that."""
        config = self.options.gae
        if config is None:
            first, *later = updates
            return [first, *([self._with_old(batch) for batch in batches] for batches in later)], {}
        return standardised([[self._valued(batch, config) for batch in batches] for batches in updates], self.engine)

    @torch.no_grad()
    def _with_old(self, batch: MicroBatch) -> MicroBatch:
        logprobs, *_ = self.engine.score(batch, self.options.temperature)
        return replace(batch, old=_array(logprobs))

    @torch.no_grad()
    def _valued(self, batch: MicroBatch, config: GaeAdvantage) -> MicroBatch:
        """With values, returns and raw advantages; until now, what stands for advantages are the tokens' rewards."""
        logprobs, _, values = self.engine.score(batch, self.options.temperature)
        rewards, mask = (torch.tensor(array, device=values.device) for array in (batch.advantages, batch.mask))
        advantages, returns = gae(rewards, values, mask, config.gamma, config.lam)
        return replace(
            batch, old=_array(logprobs), values=_array(values), returns=_array(returns), advantages=_array(advantages)
        )

    def _update(self, batches: Sequence[MicroBatch], size: Size) -> dict[str, float]:
        """One optimizer step; ``size`` counts the sequences of all ranks."""
        sums = self.engine.accumulate(batches, self._loss, size.denominator)
        norm = self.engine.step()
        absent = {"kl"} if self.reference is None else set[str]()
        absent |= {"value"} if self.options.gae is None else set()
        names = ["policy", "weight", "weight_squared", *(name for name in PER_TOKEN if name not in absent)]
        totals = self.engine.sum_over_ranks([float(sums[name]) if name in sums else 0.0 for name in names])
        policy, weight, squared, *others = totals
        tokens = max(1, size.tokens)  # none where the KL term is all that there is to learn from
        return {
            "loss/policy": policy / size.denominator,
            "policy/grad_norm": norm,
            "mismatch/ess": effective_sample_size(weight, squared) / tokens,
            LARGEST: self.engine.max_over_ranks(float(sums.get("weight_max", 0.0))),
            **{PER_TOKEN[name]: total / tokens for name, total in zip(names[3:], others, strict=True)},
        }

    def _loss(self, batch: MicroBatch) -> "LossSums":
        temperature = self.options.temperature
        logprobs, entropy, *values = self.engine.score(batch, temperature)
        behaviour, sampled = self._on_device(batch.behaviour, batch.mask)
        advantages, weight, offset, learned = self._on_device(
            batch.advantages, batch.weight, batch.offset, batch.learned
        )
        old = logprobs.detach() if batch.old is None else torch.tensor(batch.old, device=logprobs.device)
        mask = sampled * learned
        reference = self.reference.logprobs(batch, temperature) if self.reference else None
        tokens = Tokens(logprobs, old, behaviour, weight * (advantages + offset), mask, reference, sampled)
        sums = {**policy_loss(self.options.loss, tokens, self.options.clip), **importance_sums(tokens)}
        mismatch = k3(behaviour, old, mask)  # KL(engine, learner)
        sums |= {"entropy": (entropy * mask).sum(), "mismatch_kl": mismatch.sum()}
        return self._with_value_loss(sums, batch, *values) if values else sums

    def _with_value_loss(self, sums: "LossSums", batch: MicroBatch, values: torch.Tensor) -> "LossSums":
        """A group that counts half for the policy counts half for the value function."""
        config = self.options.gae
        assert config is not None and batch.values is not None and batch.returns is not None
        old, returns = self._on_device(batch.values, batch.returns)
        sampled, learned, weight = self._on_device(batch.mask, batch.learned, batch.weight)
        mask = sampled * learned
        losses = value_loss(values, old, returns, config.value_clip) * mask
        weighted = (losses * weight * token_weights(mask, self.options.loss.reduce)).sum()
        return {**sums, "loss": sums["loss"] + config.value_weight * weighted, "value": losses.detach().sum()}

    def _on_device(self, *arrays: Float32) -> list[torch.Tensor]:
        return [torch.tensor(array, device=self.engine.device) for array in arrays]

    @torch.no_grad()
    def logprobs(self, canary: Canary) -> Float32:
        """Log-probs of the canary's sampled tokens under the learner's current weights, concatenated; at temperature 1,
        as the engine scores given tokens."""
        scored, *_ = self.engine.score(pad([unweighted(*pair) for pair in _pairs(canary)]))
        rows = [row[start : len(ids)] for row, (ids, start) in zip(scored, _pairs(canary), strict=True)]
        return np.asarray(torch.cat(rows).cpu().numpy(), np.float32)

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
        logprobs = [row[mask > 0] for row, mask in zip(_array(scores[0]), batch.mask, strict=True)]
        return list(zip(logprobs, _array(scores[-1]) if states else [None] * len(logprobs), strict=True))

    def snapshot(self) -> tuple[NDArray[np.uint8], Manifest]:
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


def standardised(
    updates: list[list[MicroBatch]], engine: "DeepSpeedRank"
) -> tuple[list[list[MicroBatch]], dict[str, float]]:
    """Advantages of mean 0 and variance 1 over all tokens of the step that are learned from, on all ranks.

    Each token counts alike, whatever the weight of its group: a weight scales its own group's gradient and no other's.

    Returns:
        The micro-batches, and what share of the returns' variance the values explain: the rest is the advantages'.
    """
    own = np.sum([np.zeros(5), *(_moments(batch) for batches in updates for batch in batches)], axis=0)
    tokens, *moments = engine.sum_over_ranks(own.tolist())
    mean, square, returns_mean, returns_square = (moment / max(1, tokens) for moment in moments)
    variance, returns_variance = square - mean**2, returns_square - returns_mean**2
    scale = (max(variance, 0.0) + 1e-8) ** -0.5
    explained = 1 - variance / returns_variance if returns_variance > 0 else float("nan")
    scaled = [[_scaled(batch, mean, scale) for batch in batches] for batches in updates]
    return scaled, {"value/explained_variance": explained}


def _moments(batch: MicroBatch) -> NDArray[np.float64]:
    """Tokens; sum and sum of squares of their advantages; the same of their returns."""
    assert batch.returns is not None
    inside = batch.mask * batch.learned > 0
    advantages, returns = (array[inside].astype(np.float64) for array in (batch.advantages, batch.returns))
    return np.array([inside.sum(), advantages.sum(), advantages @ advantages, returns.sum(), returns @ returns])


def _scaled(batch: MicroBatch, mean: float, scale: float) -> MicroBatch:
    return replace(batch, advantages=np.float32(scale) * (batch.advantages - np.float32(mean)) * batch.mask)


def _array(tensor: torch.Tensor) -> Float32:
    return np.asarray(tensor.cpu().numpy(), np.float32)


def _pairs(canary: Canary) -> list[tuple[Int32, int]]:
    return list(zip(canary.ids, canary.prompt_lengths, strict=True))
