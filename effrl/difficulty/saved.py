"""A fitted network on disk, with the model whose embeddings it understands."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from effrl.difficulty.network import DifficultyNetwork
from effrl.errors import UserError

_FORMAT = "effrl difficulty predictor 1"


@dataclass(frozen=True, slots=True)
class Card:
    """What must be known of a fitted network to use it."""

    embedder: str
    """Fingerprint of the model that embedded the prompts (:func:`effrl.models.fingerprint`)."""
    pooling: str
    """How it pooled its hidden states: ``mean`` over tokens in the paper."""
    policies: int
    """Policies that the network was fitted on."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Of held-out policies or prompts, by :func:`effrl.difficulty.metrics.evaluate`."""


def save(path: Path, network: DifficultyNetwork, card: Card) -> None:
    """Write one safetensors file; whole, or not at all."""
    sizes = {"dimension": network.dimension, "hidden": network.hidden, "layers": network.layers}
    metadata = {"format": _FORMAT, "card": json.dumps(asdict(card)), "sizes": json.dumps(sizes)}
    draft = path.with_name(f".{path.name}.draft")
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, draft, metadata)
    draft.replace(path)


def load(path: Path, embedder: str, pooling: str, dimension: int) -> tuple[DifficultyNetwork, Card]:
    """Read a fitted network back, ready to predict.

    Args:
        path: what :func:`save` wrote.
        embedder: fingerprint of the model whose embeddings it will see.
        pooling: how that model pools.
        dimension: of its embeddings.

    Raises:
        UserError: there is none, or it was fitted on embeddings of another kind.
    """
    metadata, tensors = _read(path)
    try:
        card, sizes = Card(**json.loads(metadata["card"])), json.loads(metadata["sizes"])
        _check(path, card, sizes["dimension"], embedder, pooling, dimension)
        network = DifficultyNetwork(sizes["dimension"], sizes["hidden"], sizes["layers"])
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is damaged: fit the predictor again") from error
    return network.eval(), card


def _read(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    if not path.is_file():
        raise UserError(f"{path} does not exist: fit a difficulty predictor first")
    try:
        with safe_open(path, "pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is no safetensors file, or cut off: fit the predictor again") from error
    if metadata.get("format") != _FORMAT:
        raise UserError(f"{path} is no difficulty predictor of this version: fit one")
    return metadata, tensors


def _check(path: Path, card: Card, fitted: int, embedder: str, pooling: str, dimension: int) -> None:
    if fitted != dimension:
        raise UserError(
            f"{path} was fitted on embeddings of {fitted} dimensions, these have {dimension}: use the model that"
            " embedded them then, or fit the predictor again"
        )
    if card.embedder != embedder:
        raise UserError(
            f"{path} was fitted on embeddings of model {card.embedder}, these are of {embedder}: use that model, or"
            " fit the predictor again"
        )
    if card.pooling != pooling:
        raise UserError(
            f"{path} was fitted on embeddings with {card.pooling!r} pooling, these have {pooling!r}: pool as then, or"
            " fit the predictor again"
        )
