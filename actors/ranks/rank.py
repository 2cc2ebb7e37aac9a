"""One rank of a DeepSpeed group: a model, its optimizer, and exact gradients from any cut into micro-batches.

DeepSpeed averages gradients over ranks and, by default, divides by a fixed number of accumulation steps. Here the loss
is a sum over tokens divided by one global count; so accumulation is left to us
(``managed_gradient_accumulation: false``), and the loss is scaled by the world size to undo the average.
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from actors.machine import give_back_memory
from actors.ranks.lora import add_adapters
from actors.ranks.model import Scorer
from effrl.config.learn import LearnConfig
from effrl.errors import RunError, UserError
from effrl.learn.packing import MicroBatch, weightless
from effrl.types import Int32

if "DS_ACCELERATOR" not in os.environ and not torch.cuda.is_available():
    os.environ["DS_ACCELERATOR"] = "cpu"
import deepspeed.ops

# DeepSpeed's shared-memory all-reduce is compiled at first use, which takes 30 s and a C++ compiler; gloo serves.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
import deepspeed  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from transformers.modeling_layers import GradientCheckpointingLayer  # noqa: E402

from actors.ranks.parameters import Parameters  # noqa: E402

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LossSums = dict[str, Tensor]
"""``loss`` (with gradient) and statistics: sums over the tokens of a micro-batch, and ``…_max`` the largest of them."""
SETTINGS = "settings.json"
FIXED = {"zero", "lora"}
"""Fields of ``learn`` that a checkpoint's format depends on."""
Work = TypeVar("Work")
"""A micro-batch, or one with what is to be learned from it."""


class DeepSpeedRank:
    """Forward passes, one optimizer step over micro-batches, and checkpoints."""

    def __init__(
        self, model: str, dtype: str, config: LearnConfig, micro_batch_size: int = 1, value_head: bool = False
    ) -> None:
        torch.manual_seed(0)
        deepspeed.init_distributed(dist_backend="nccl" if torch.cuda.is_available() else "gloo")
        self.rank = int(os.environ["RANK"])
        self.world_size = int(os.environ["WORLD_SIZE"])
        self.config = config
        self.value_head = value_head
        self.tokenizer = AutoTokenizer.from_pretrained(model)  # now: a checkpoint to resume from may be pruned later
        scorer = Scorer(_language_model(model, dtype, config), value_head)
        self.engine, *_ = deepspeed.initialize(
            model=scorer,
            model_parameters=[parameter for parameter in scorer.parameters() if parameter.requires_grad],
            config=_deepspeed_config(config, dtype, micro_batch_size),
        )
        self.norm: float | None = None
        """Of the gradient of the last step, where DeepSpeed forgets it."""
        if config.zero == 0:
            self.engine.clip_fp32_gradients = self._clip
        self.language_model: Any = scorer.language_model
        self.parameters = Parameters(self.language_model, self.rank, config.lora.scale if config.lora else 1.0)
        self.device = self.engine.device

    def score(self, batch: MicroBatch, temperature: float = 1.0, states: Int32 | None = None) -> tuple[Tensor, ...]:
        """Log-probs and entropies [B, L] of the sampled tokens, and values of what stands before them, with a head.

        With ``states`` [B, K] the hidden states [B, K, H] of the tokens at these places come last.
        """
        places = None if states is None else torch.tensor(states, dtype=torch.long, device=self.device)
        scores: tuple[Tensor, ...] = self.engine(*_inputs(batch, self.device), temperature, places)
        return scores

    def even(self, batches: Sequence[MicroBatch]) -> list[MicroBatch]:
        """As many micro-batches as the rank that has most, filled up with weightless ones."""
        return self.filled(batches, weightless())

    def filled(self, batches: Sequence[Work], idle: Work) -> list[Work]:
        """As many micro-batches as the rank that has most, filled up with idle ones.

        From ZeRO-2 on ranks meet in every pass: a rank that runs fewer would leave the others waiting for ever.
        """
        if self.config.zero <= 1:
            return list(batches)
        most = int(self.max_over_ranks(len(batches)))
        return [*batches, *(idle for _ in range(most - len(batches)))]

    def accumulate(self, batches: Sequence[Work], loss: Callable[[Work], LossSums], denominator: int) -> LossSums:
        """Backward over this rank's micro-batches.

        Args:
            batches: this rank's share, possibly none; from ZeRO-2 on as many on every rank (:meth:`filled`).
            loss: sums over the tokens of a micro-batch.
            denominator: of the whole optimizer step, over all ranks (:class:`effrl.learn.packing.Size`).

        Returns:
            The sums (and largest) of all micro-batches of this rank, without gradient.
        """
        totals: LossSums = {}
        for batch in batches:
            sums = loss(batch)
            self.engine.backward(sums["loss"] * (self.world_size / denominator))
            for name, value in sums.items():
                joined = torch.maximum if name.endswith("_max") else torch.add
                totals[name] = joined(totals.get(name, torch.zeros((), device=self.device)), value.detach())
        return totals

    def set_learning_rate(self, rate: float) -> None:
        """For the next steps; whoever trains says it anew in each, so that nothing about it has to be saved."""
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate

    def forget(self) -> None:
        """Set the moments of AdamW, and its count of steps, back to 0; weights and random states stay."""
        for state in self.engine.optimizer.state.values():
            for value in state.values():
                if torch.is_tensor(value):
                    value.zero_()
                else:
                    raise RunError("AdamW keeps tensors alone: this version does otherwise")

    def step(self) -> float:
        """Reduce over the ranks, clip, update; returns the norm of the gradient before clipping."""
        give_back_memory()  # what the backward passes have left: the optimizer's temporaries are as large as the model
        self.engine.step()
        give_back_memory()
        return float(self.engine.get_global_grad_norm() if self.norm is None else self.norm)

    def _clip(self) -> None:
        """As DeepSpeed does without ZeRO in float32, which keeps no norm."""
        parameters = [parameter for parameter in self.engine.module.parameters() if parameter.requires_grad]
        self.norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.config.clip_norm))

    def offload(self) -> None:
        """Move weights, gradients and optimizer to the host's memory until :meth:`reload`, for others on this GPU."""
        self.engine.offload_states()

    def reload(self) -> None:
        """Move them back."""
        self.engine.reload_states()

    def sum_over_ranks(self, values: Sequence[float]) -> list[float]:
        """Element-wise sums over all ranks."""
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        if self.world_size > 1:
            torch.distributed.all_reduce(tensor)
        return [float(value) for value in tensor]

    def max_over_ranks(self, value: float) -> float:
        """The largest of all ranks."""
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        if self.world_size > 1:
            torch.distributed.all_reduce(tensor, torch.distributed.ReduceOp.MAX)
        return float(tensor)

    def mean_over_ranks(self, value: float) -> float:
        """The same number on every rank, for decisions that all must make alike."""
        return self.sum_over_ranks([value])[0] / self.world_size

    def save(self, folder: Path) -> list[Path]:
        """Write this rank's part of a checkpoint, and return its files; called on all ranks.

        With LoRA the frozen model is left out.
        """
        self.engine.save_checkpoint(
            str(folder), tag="state", save_latest=False, exclude_frozen_parameters=self.config.lora is not None
        )
        torch.save(_random_states(), folder / f"random_pp_rank_{self.rank}.pt")
        if self.rank == 0:
            (folder / SETTINGS).write_text(json.dumps(self._settings()))
        return [path for path in folder.rglob("*") if path.is_file() and _writer(path) == self.rank]

    def export(self, folder: Path) -> list[Path]:
        """Write an ordinary Hugging Face directory, tokenizer included, adapters merged; called on all ranks.

        Returns:
            The files that this rank wrote: all of them on rank 0, none on the others.
        """
        state = dict(self.parameters.published())
        if self.rank > 0:
            return []
        config = self.language_model.config
        with torch.device("meta"):  # a model as it was before adapters and shards: it knows how its files are written
            plain = AutoModelForCausalLM.from_config(config, dtype=self.language_model.dtype)
        plain.generation_config = self.language_model.generation_config
        plain.save_pretrained(folder, state_dict=state)
        self.tokenizer.save_pretrained(folder)
        return [path for path in folder.rglob("*") if path.is_file()]

    def restore(self, folder: Path) -> None:
        """Load model, optimizer and random states from :meth:`save`; called on all ranks.

        Raises:
            UserError: it was written under another ``learn.zero`` or ``learn.lora``, or with or without a value head.
        """
        written = json.loads((folder / SETTINGS).read_text())
        for name, value in self._settings().items():
            if written[name] != value:
                raise UserError(f"{folder} was written with {name}={json.dumps(written[name])}: set it back")
        path, _ = self.engine.load_checkpoint(str(folder), tag="state", load_module_strict=self.config.lora is None)
        if path is None:
            raise RunError(f"the state in {folder} could not be loaded")
        _set_random_states(torch.load(folder / f"random_pp_rank_{self.rank}.pt", weights_only=True))

    def _settings(self) -> dict[str, Any]:
        fixed = self.config.model_dump(mode="json", include=FIXED)
        kind = {"advantage.kind": "gae" if self.value_head else "any without a value head"}
        return {**{f"learn.{name}": value for name, value in fixed.items()}, **kind}


class FrozenModel:
    """A model that only scores: what the policy started as."""

    def __init__(self, model: str, dtype: str, device: torch.device, in_shards: bool = False) -> None:
        """With ``in_shards`` each rank holds a part of every parameter, and all ranks score as often (ZeRO-3)."""
        scorer = Scorer(AutoModelForCausalLM.from_pretrained(model, dtype=DTYPES[dtype])).requires_grad_(False).eval()
        self.module: Any = _sharded(scorer, dtype) if in_shards else scorer.to(device)
        self.device = device

    def move(self, device: torch.device | str) -> None:
        """Take the weights to another device; between uses they may lie in the host's memory."""
        self.module.to(device)

    @torch.no_grad()
    def logprobs(self, batch: MicroBatch, temperature: float) -> Tensor:
        """Log-probs [B, L] of the sampled tokens given those before them; 0 elsewhere."""
        logprobs: Tensor = self.module(*_inputs(batch, self.device), temperature)[0]
        return logprobs


def _sharded(scorer: Scorer, dtype: str) -> Any:
    """A frozen model under ZeRO-3, without an optimizer."""
    settings = {
        "train_micro_batch_size_per_gpu": 1,
        "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 10_000},
        "bf16": {"enabled": dtype == "bfloat16"},
        "steps_per_print": 2**31,
    }
    engine, *_ = deepspeed.initialize(model=scorer, config=settings)
    engine.eval()
    return engine


def _language_model(model: str, dtype: str, config: LearnConfig) -> Any:
    """The model to train, in evaluation mode: dropout would make its log-probs differ from the engine's."""
    module = AutoModelForCausalLM.from_pretrained(model, dtype=DTYPES[dtype])
    if config.lora:
        add_adapters(module, config.lora)
    if config.activation_checkpointing:
        module.gradient_checkpointing_enable({"use_reentrant": False})
        for layer in module.modules():
            if isinstance(layer, GradientCheckpointingLayer):
                layer.training = True  # of this module alone: it recomputes only while training
    return module


def _writer(path: Path) -> int:
    """The rank that wrote a file of :meth:`DeepSpeedRank.save`: the one in its name, else the first."""
    named = re.search(r"pp_rank_(\d+)", path.name)
    return int(named[1]) if named else 0


def _random_states() -> dict[str, Tensor]:
    """Of the generators that a model may draw from."""
    states = {"cpu": torch.get_rng_state()}
    return {**states, "cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else states


def _set_random_states(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def _inputs(batch: MicroBatch, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    ids, attention = (torch.tensor(array, dtype=torch.long, device=device) for array in (batch.ids, batch.attention))
    return ids, attention, torch.tensor(batch.mask, device=device)


def _deepspeed_config(config: LearnConfig, dtype: str, micro_batch_size: int) -> dict[str, Any]:
    return {
        "train_micro_batch_size_per_gpu": micro_batch_size,
        "managed_gradient_accumulation": False,
        "gradient_clipping": config.clip_norm,
        # Norms and biases stay whole on every rank; the default of 100,000 would keep whole small models so.
        "zero_optimization": {"stage": config.zero, "stage3_param_persistence_threshold": 10_000},
        "bf16": {"enabled": dtype == "bfloat16"},
        # In bfloat16, a sum over micro-batches or ranks would lose what is small beside what it already holds.
        "data_types": {"grad_accum_dtype": "fp32"},
        "communication_data_type": "fp32",
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": config.lr,  # until the first :meth:`DeepSpeedRank.set_learning_rate`
                "betas": list(config.betas),
                "weight_decay": config.weight_decay,
                "torch_adam": True,  # DeepSpeed's own Adam is compiled C++
            },
        },
        "steps_per_print": 2**31,
    }
