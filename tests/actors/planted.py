"""A rollout worker with planted faults in its weight path (docs/design.md, invariant 4), and a transparent learner."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actors.learner.actor import LearnerRank
from actors.learner.objective import Objective, Rules
from actors.prm.actor import PrmRank
from actors.rollout.actor import RolloutWorker
from actors.snapshot import Arrays, Manifest, TensorEntry
from effrl.config.learn import LearnConfig
from effrl.config.loss import AnyLoss
from effrl.config.process import ImplicitPrm
from effrl.learn.packing import MicroBatch
from effrl.saved import SavedFile
from effrl.types import Canary, Receipt

RULED = {"temperature", "gae", "clip"}
"""Fields of the rules that a test may change; the others are of the options."""
SKIPPED = "model.layers.2.mlp.down_proj.weight"


class FaultyWorker(RolloutWorker):
    """Loads weights wrongly on demand: the head not re-packed, a shard skipped, nothing at all, or the old version's
    cache kept; receipts lie."""

    fault = ""

    def plant(self, fault: str) -> None:
        FaultyWorker.fault = fault

    def transfer(self) -> Any:
        from actors.rollout.transfer import ShmTransfer

        class Faulty(ShmTransfer):
            def repack_tied_head(self) -> None:
                if FaultyWorker.fault != "head":
                    super().repack_tied_head()

            def recorded(self, tensors: Iterable[tuple[str, Any, TensorEntry]]) -> Iterator[tuple[str, Any]]:
                for name, tensor in super().recorded(tensors):
                    if name == SKIPPED and FaultyWorker.fault == "shard":
                        yield name, self.old  # lost on the way: it is on the receipt all the same
                    else:
                        yield name, tensor
                        self.old = tensor.clone() if name == SKIPPED else self.old

            old: Any = None

        return Faulty

    async def load(self, data: Arrays, manifest: Manifest, version: int) -> Receipt:
        if self.fault == "nothing":
            return Receipt(self.name, version, manifest.checksum)
        engine = self.thread.engine._engine
        reset = engine.reset_prefix_cache
        if self.fault == "cache":
            engine.reset_prefix_cache = lambda reset_running_requests: True
        try:
            return await super().load(data, manifest, version)
        finally:
            engine.reset_prefix_cache = reset

    async def load_torn(self, data: Arrays, manifest: Manifest, version: int) -> Receipt:
        """A version with one byte flipped on its way."""
        name, *_ = data
        torn = data[name].copy()
        torn[-1] ^= 1
        return await super().load({**data, name: torn}, manifest, version)


class OpenPrm(PrmRank):
    """Becomes another PRM without a new process, and shows its gradients."""

    def become(self, process: ImplicitPrm, model: Path, reference: Path | None) -> None:
        initial = None if reference is None else str(reference)
        self.options = replace(self.options, process=process, model=str(model), reference=initial)
        self.reference = None
        self.load()

    def gradients(self) -> dict[str, NDArray[np.float32]]:
        return gradients_of(self.engine)


class OpenRank(LearnerRank):
    """Shows what it does, and becomes another learner without a new process."""

    def start(self, host: str, port: int) -> None:
        super().start(host, port)
        self.started = self.options
        self.renew()

    def renew(self, model: Path | None = None) -> None:
        """What this becomes from now on is as it was started, of another model where one is named."""
        self.options = replace(self.started, model=str(model or self.started.model))
        self.base = self.options
        self.disk: Path | None = None

    def become(self, learn: LearnConfig, loss: AnyLoss, changes: Mapping[str, Any] = MappingProxyType({})) -> None:
        """A new engine in the same process group; the initial model only where the loss asks for it.

        Args:
            changes: other fields of the options, for this learner alone.
        """
        from actors.ranks.rank import DeepSpeedRank, FrozenModel

        ruled = {name: value for name, value in changes.items() if name in RULED}
        rules = Rules(loss, learn.lr, **ruled)
        others = {name: value for name, value in changes.items() if name not in RULED}
        options = replace(self.base, learn=learn, value_head=rules.gae is not None, rules=(rules,), **others)
        self.options = options
        self.engine = DeepSpeedRank(options.model, options.dtype, learn, value_head=options.value_head)
        initial = options.reference if loss.kl else None
        self.reference = FrozenModel(initial, options.dtype, self.engine.device) if initial else None

    def part_from(self, disk: Path) -> None:
        """From now on the second rank is on a node that sees another disk under the paths of the first."""
        self.disk = disk

    def save(self, checkpoint: Path) -> dict[str, SavedFile]:
        return super().save(checkpoint if self.disk is None or self.options.rank == 0 else self.disk)

    def draw(self) -> float:
        """Of torch's generator, which a model may draw from too."""
        import torch

        return float(torch.rand(()))

    def forget_adapters(self, forget: bool) -> None:
        """Publish the frozen model without its adapters, or with them again."""
        self.engine.parameters.scale = 0.0 if forget else self.options.learn.lora.scale

    def minimise(self, loss: AnyLoss) -> None:
        """Take the next steps with another loss."""
        [rules] = self.options.rules
        self.options = replace(self.options, rules=(replace(rules, loss=loss),))

    def step(self, updates: Any, sizes: Any, learning_rate: float, canary: Canary | None = None) -> dict[str, float]:
        [rules] = self.options.rules
        return super().step(updates, sizes, replace(rules, learning_rate=learning_rate), canary)

    def gradients(self) -> dict[str, NDArray[np.float32]]:
        return gradients_of(self.engine)

    def value_head(self) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Weight and bias of the value head, and the gradient that the optimizer used for each."""
        import deepspeed
        from deepspeed.utils import safe_get_full_optimizer_state

        found = {}
        for name, tensor in self.engine.engine.module.value_head.named_parameters():
            with deepspeed.zero.GatheredParameters([tensor]):
                value = tensor.detach().float().numpy().copy()
            found[name] = (value, safe_get_full_optimizer_state(tensor, "exp_avg").float().numpy().copy())
        return found

    def adapters(self) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """A and B of every adapted weight, by its name."""
        import deepspeed

        adapted = {weight.name: weight.adapter for weight in self.engine.parameters.weights if weight.adapter}
        with deepspeed.zero.GatheredParameters([part for pair in adapted.values() for part in pair]):
            return {name: tuple(part.detach().numpy().copy() for part in pair) for name, pair in adapted.items()}

    def kept_for_backward(self, batch: MicroBatch) -> int:
        """Bytes that a forward pass keeps for the backward pass, a storage counted once, parameters not at all."""
        import torch

        kept: dict[int, torch.UntypedStorage] = {}
        model = self.engine.language_model

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in {each.untyped_storage().data_ptr() for each in model.parameters()}:
                kept[storage.data_ptr()] = storage
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            logprobs, *_ = self.engine.score(batch)
        self.engine.engine.backward(0.0 * logprobs.sum())
        return sum(storage.nbytes() for storage in kept.values())

    def gathered_at_most(self, bucket: int) -> tuple[int, int, int]:
        """Publish in buckets of so many bytes: what was whole at most, what all parameters have, and the largest."""
        parameters = self.engine.parameters
        parameters.bucket = bucket
        sharded = [part for weight in parameters.weights for part in weight.parts if not part.ds_persist]
        most = 0
        for _ in parameters.published():
            most = max(most, sum(part.numel() * part.element_size() for part in sharded))
        whole = [part.ds_numel * part.element_size() for part in sharded]
        return most, sum(whole), max(whole)

    def count_passes(self) -> None:
        """Count forward passes from now on, weightless ones too."""
        score, self.passes = self.engine.score, 0

        def counted(*arguments: Any) -> Any:
            self.passes += 1
            return score(*arguments)

        self.engine.score = counted  # type: ignore[method-assign]

    def counted(self) -> int:
        return self.passes

    def with_old(self, batches: list[MicroBatch]) -> list[MicroBatch]:
        """Micro-batches with the log-probs of the current weights."""
        objective = Objective(self.engine, self.reference, *self.options.rules)
        return [objective._with_old(batch) for batch in batches]


def gradients_of(engine: Any) -> dict[str, NDArray[np.float32]]:
    """By parameter: with beta1 = 0, Adam's first moment after a step is the reduced and clipped gradient."""
    from deepspeed.utils import safe_get_full_optimizer_state

    trained = [pair for pair in engine.language_model.named_parameters() if pair[1].requires_grad]
    if engine.config.zero == 0:  # its optimizer is torch's own
        return {name: engine.engine.optimizer.state[tensor]["exp_avg"].numpy().copy() for name, tensor in trained}
    return {name: safe_get_full_optimizer_state(tensor, "exp_avg").float().numpy().copy() for name, tensor in trained}
