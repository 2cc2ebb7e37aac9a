"""One rank of a DeepSpeed group: a model, its optimizer, and exact gradients from any cut into micro-batches.

DeepSpeed averages gradients over ranks and, by default, divides by a fixed number of accumulation steps. Here the loss
is a sum over tokens divided by one global count; so accumulation is left to us
(``managed_gradient_accumulation: false``), and the loss is scaled by the world size to undo the average.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from effrl.config import LearnConfig
from effrl.packing import MicroBatch

if "DS_ACCELERATOR" not in os.environ and not torch.cuda.is_available():
    os.environ["DS_ACCELERATOR"] = "cpu"
import deepspeed.ops

# DeepSpeed's shared-memory all-reduce is compiled at first use, which takes 30 s and a C++ compiler; gloo serves.
deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
import deepspeed  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LossSums = dict[str, Tensor]
"""``loss`` (with gradient) and statistics, each a sum over the tokens of a micro-batch."""


class DeepSpeedRank:
    """Forward passes, one optimizer step over micro-batches, and checkpoints."""

    def __init__(self, model: str, dtype: str, config: LearnConfig, micro_batch_size: int = 1) -> None:
        torch.manual_seed(0)
        deepspeed.init_distributed(dist_backend="nccl" if torch.cuda.is_available() else "gloo")
        self.rank = int(os.environ["RANK"])
        self.world_size = int(os.environ["WORLD_SIZE"])
        self.tokenizer = AutoTokenizer.from_pretrained(model)  # now: a checkpoint to resume from may be pruned later
        module = AutoModelForCausalLM.from_pretrained(model, dtype=DTYPES[dtype])
        module.config.use_cache = False
        self.engine, *_ = deepspeed.initialize(
            model=module,
            model_parameters=module.parameters(),
            config=_deepspeed_config(config, dtype, micro_batch_size),
        )
        self.module: Any = self.engine.module
        self.device = self.engine.device

    def parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Names as in the model's Hugging Face checkpoint, tied tensors once."""
        yield from self.module.named_parameters()

    def token_logprobs(self, batch: MicroBatch) -> tuple[Tensor, Tensor]:
        """Log-probs [B, L] of each token given those before it (0 at the first), and entropies [B, L] likewise."""
        logprobs, distribution = _score(self.engine, batch, self.device)
        entropy = -(distribution.detach().exp() * distribution.detach()).sum(-1)
        return logprobs, torch.nn.functional.pad(entropy, (1, 0))

    def accumulate(
        self, batches: Sequence[MicroBatch], loss: Callable[[MicroBatch], LossSums], denominator: int
    ) -> LossSums:
        """Backward over this rank's micro-batches; no communication, so ranks may have different numbers of them.

        Args:
            batches: this rank's share, possibly none.
            loss: sums over the tokens of a micro-batch.
            denominator: of the whole optimizer step, over all ranks (:class:`effrl.packing.Size`).

        Returns:
            The sums of all micro-batches of this rank, without gradient.
        """
        totals: LossSums = {}
        for batch in batches:
            sums = loss(batch)
            self.engine.backward(sums["loss"] * (self.world_size / denominator))
            for name, value in sums.items():
                totals[name] = totals.get(name, torch.zeros((), device=self.device)) + value.detach()
        return totals

    def set_learning_rate(self, rate: float) -> None:
        """For the next steps; whoever trains says it anew in each, so that nothing about it has to be saved."""
        for group in self.engine.optimizer.param_groups:
            group["lr"] = rate

    def step(self) -> float:
        """Reduce over the ranks, clip, update; returns the norm of the gradient before clipping."""
        self.engine.step()
        return float(self.engine.get_global_grad_norm())

    def sum_over_ranks(self, values: Sequence[float]) -> list[float]:
        """Element-wise sums over all ranks."""
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        if self.world_size > 1:
            torch.distributed.all_reduce(tensor)
        return [float(value) for value in tensor]

    def save(self, directory: Path) -> None:
        """Write this rank's part of a checkpoint; called on all ranks."""
        self.engine.save_checkpoint(str(directory / "learner"), tag="state", save_latest=False)

    def export(self, directory: Path) -> None:
        """Write an ordinary Hugging Face directory, tokenizer included."""
        self.module.config.use_cache = True
        self.module.save_pretrained(directory)
        self.module.config.use_cache = False
        self.tokenizer.save_pretrained(directory)

    def restore(self, directory: Path) -> None:
        """Load model, optimizer and random states from :meth:`save`; called on all ranks."""
        self.engine.load_checkpoint(str(directory / "learner"), tag="state")


class FrozenModel:
    """A model that only scores: what the policy started as."""

    def __init__(self, model: str, dtype: str, device: torch.device) -> None:
        module = AutoModelForCausalLM.from_pretrained(model, dtype=DTYPES[dtype]).to(device)
        module.config.use_cache = False
        self.module = module.eval().requires_grad_(False)
        self.device = device

    @torch.no_grad()
    def logprobs(self, batch: MicroBatch) -> Tensor:
        """Log-probs [B, L] of each token given those before it (0 at the first)."""
        return _score(self.module, batch, self.device)[0]


def _score(model: Any, batch: MicroBatch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Log-probs [B, L] of the tokens (0 at the first), and log-distributions [B, L - 1, V] that they come from."""
    ids = torch.tensor(batch.ids, dtype=torch.long, device=device)
    attention = torch.tensor(batch.attention, dtype=torch.long, device=device)
    logits = model(input_ids=ids, attention_mask=attention).logits[:, :-1].float()
    distribution = torch.log_softmax(logits, dim=-1)
    logprobs = distribution.gather(-1, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    return torch.nn.functional.pad(logprobs, (1, 0)), distribution


def _deepspeed_config(config: LearnConfig, dtype: str, micro_batch_size: int) -> dict[str, Any]:
    return {
        "train_micro_batch_size_per_gpu": micro_batch_size,
        "managed_gradient_accumulation": False,
        "gradient_clipping": config.clip_norm,
        "zero_optimization": {"stage": 1},
        "bf16": {"enabled": dtype == "bfloat16"},
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
