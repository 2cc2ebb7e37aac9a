"""The parameters of a rank's model, whole, one bucket at a time: wherever ZeRO keeps them, and adapters merged.

Under ZeRO-3 each rank holds a shard of every parameter. Whoever needs whole ones (a publish, an export, the drill) goes
through them here; every rank calls the same method, since gathering is a collective, and goes through to the end.
"""

import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import deepspeed
import torch
from torch import Tensor, nn

BUCKET = 512 * 2**20
"""Bytes that are gathered at a time, unless one parameter alone has more."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor of the Hugging Face checkpoint, and what it is made of."""

    name: str
    base: Tensor
    adapter: tuple[Tensor, Tensor] | None = None
    """LoRA's ``A`` [rank, in] and ``B`` [out, rank], where the layer has them."""

    @property
    def parts(self) -> list[Tensor]:
        return [self.base, *(self.adapter or ())]

    def merged(self, scale: float) -> Tensor:
        """``base + scale * B A`` (LoRA, arXiv 2106.09685, section 4.1), added up in float32; the parts stay."""
        if self.adapter is None:
            return self.base
        a, b = (part.float() for part in self.adapter)
        return (self.base.float() + scale * (b @ a)).to(self.base.dtype)


@dataclass(slots=True)
class Perturbation:
    """What the parameters of a kind were before noise was added to them, by name, and how much there is of it."""

    saved: dict[str, Tensor]
    amplitude: float = 0.0


class Parameters:
    """All parameters of a model."""

    def __init__(self, model: nn.Module, rank: int, scale: float, bucket: int = BUCKET) -> None:
        """``scale`` is LoRA's, for models with adapters."""
        self.weights = list(_weights(dict(model.named_parameters())))
        self.rank = rank
        self.scale = scale
        self.bucket = bucket
        self.perturbed: dict[str, Perturbation] = {}
        """By kind."""

    @torch.no_grad()
    def published(self) -> Iterator[tuple[str, Tensor]]:
        """The checkpoint's tensors by name, tied ones once; on rank 0. Others give theirs to it, and get nothing."""
        for weights in _buckets(self.weights, self.bucket):
            parts = [part for weight in weights for part in weight.parts]
            with deepspeed.zero.GatheredParameters(parts):
                if self.rank == 0:
                    for weight in weights:
                        yield weight.name, _kept(weight, self.scale)

    @torch.no_grad()
    def exported(self) -> dict[str, Tensor]:
        """The checkpoint's tensors where they are, on every rank; for ZeRO-1 and 2, which keep them whole."""
        return {weight.name: weight.merged(self.scale).detach().contiguous() for weight in self.weights}

    def kinds(self) -> list[str]:
        """What the start-up drill perturbs, one at a time: names without the layer's index.

        An adapter is perturbed in its ``B``: it starts at 0, and with it nothing can move through ``A``.
        """
        return list(dict.fromkeys(_kind(name) for name, _ in self._perturbable()))

    def perturb(self, kind: str, amplitude: float) -> None:
        """Make each parameter of a kind what it was before, plus noise of ``amplitude`` times its root mean square."""
        if kind not in self.perturbed:
            self.perturbed[kind] = Perturbation({name: _on_host(tensor) for name, tensor in self._each(kind)})
        self.perturbed[kind].amplitude = amplitude
        self._add_noise(kind)

    def undo(self, kind: str) -> None:
        """Make the parameters of a kind what they were, to the bit."""
        self._put_back(kind)
        del self.perturbed[kind]

    @contextmanager
    def without(self, kind: str) -> Iterator[None]:
        """Undo a perturbation for a while."""
        self._put_back(kind)
        yield
        self._add_noise(kind)

    @torch.no_grad()
    def _add_noise(self, kind: str) -> None:
        """The same on every rank and at every time. In place: fresh memory for temporaries would take longer."""
        perturbation = self.perturbed[kind]
        for name, tensor in self._each(kind):
            saved = perturbation.saved[name]
            size = max(0.01, float(torch.linalg.vector_norm(saved, dtype=torch.float32)) / saved.numel() ** 0.5)
            generator = torch.Generator(tensor.device).manual_seed(zlib.crc32(name.encode()))
            tensor.normal_(0.0, perturbation.amplitude * size, generator=generator).add_(saved.to(tensor.device))

    @torch.no_grad()
    def _put_back(self, kind: str) -> None:
        for name, tensor in self._each(kind):
            tensor.copy_(self.perturbed[kind].saved[name])

    def _each(self, kind: str) -> Iterator[tuple[str, Tensor]]:
        """The parameters of a kind, to be read and written where they are not empty.

        Of parameters in shards rank 0 sees all, and what it leaves there reaches the others.
        """
        chosen = [Weight(name, tensor) for name, tensor in self._perturbable() if _kind(name) == kind]
        for weights in _buckets(chosen, self.bucket):
            named = [(weight.name, weight.base) for weight in weights]
            in_shards = any(map(_in_shards, (tensor for _, tensor in named)))
            with deepspeed.zero.GatheredParameters([tensor for _, tensor in named], modifier_rank=0):
                yield from [] if in_shards and self.rank > 0 else named

    def _perturbable(self) -> Iterator[tuple[str, Tensor]]:
        for weight in self.weights:
            yield weight.name, weight.base
            if weight.adapter:
                yield f"{weight.name}.lora_B", weight.adapter[1]


def _weights(parameters: dict[str, Tensor]) -> Iterator[Weight]:
    """Pair what peft renamed: a layer's weight is its ``base_layer.weight``, beside ``lora_A`` and ``lora_B``."""
    for name, tensor in parameters.items():
        layer, adapted, end = name.partition(".base_layer.")
        if adapted and end == "weight":
            a, b = (parameters[f"{layer}.lora_{part}.default.weight"] for part in "AB")
            yield Weight(f"{layer}.weight", tensor, (a, b))
        elif ".lora_" not in name:
            yield Weight(name.replace(".base_layer.", "."), tensor)


def _on_host(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)


def _kept(weight: Weight, scale: float) -> Tensor:
    """On the host, and not in memory that is freed when the bucket is."""
    return weight.merged(scale).detach().to("cpu", copy=weight.adapter is None and _in_shards(weight.base))


def _buckets(weights: Iterable[Weight], limit: int) -> Iterator[list[Weight]]:
    """Neighbours together while they stay within ``limit`` bytes."""
    bucket: list[Weight] = []
    size = 0
    for weight in weights:
        bytes_of = sum(_numel(part) * part.element_size() for part in weight.parts)
        if bucket and size + bytes_of > limit:
            yield bucket
            bucket, size = [], 0
        bucket.append(weight)
        size += bytes_of
    if bucket:
        yield bucket


def _in_shards(tensor: Tensor) -> bool:
    """Whether ZeRO-3 has it."""
    return hasattr(tensor, "ds_numel")


def _numel(tensor: Tensor) -> int:
    """Elements of the whole; a parameter in shards is empty while it is not gathered."""
    return tensor.ds_numel if _in_shards(tensor) else tensor.numel()  # type: ignore[attr-defined]


def _kind(name: str) -> str:
    """``model.layers.3.mlp.up_proj.weight`` → ``model.layers.mlp.up_proj.weight``."""
    return ".".join(part for part in name.split(".") if not part.isdigit())
