"""What stands for a prompt's text: means of a frozen model's hidden states over its tokens.

Made once per model and pool, kept in a file that names both, and read as a memory map.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np

from effrl.errors import UserError
from effrl.models import fingerprint, read_model
from effrl.types import Float32

Pooling = Literal["mean", "layers"]
"""Which hidden states are pooled: the last layer's (DOTS), or side by side those of the first, the middle and the last.

The first are the token embeddings themselves: which tokens a prompt has is what later layers keep least of, and in
arithmetic one symbol may decide how hard a problem is.
"""
POOLING: Pooling = "mean"
"""The network's, as a predictor's file says it."""

_TOKENS = 16384
"""Of one forward pass, padding included: bounds its memory."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """Embeddings, and where they came from."""

    rows: Float32
    """[N, D], a read-only memory map."""
    path: Path
    seconds: float | None
    """What it took to make them; None where the file was there already."""


def embedded(model: Path, texts: Sequence[str], folder: Path | None = None, pooling: Pooling = POOLING) -> Embedded:
    """Embed texts, or take the embeddings from the file of the same model and texts.

    Args:
        model: a Hugging Face directory.
        texts: N of them, at least one.
        folder: of the files; the user's cache by default.
        pooling: which hidden states; three layers take three times the room.

    Raises:
        UserError: the model cannot be loaded for embeddings.
    """
    folder = folder or _cache()
    path = folder / f"{fingerprint(model)[:16]}-{_digest(texts)[:16]}-{pooling}.npy"
    found = _mapped(path, len(texts))
    if found is not None:
        return Embedded(found, path, None)
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{path.name}.{os.getpid()}"  # two runs may make the same file
    _write(draft, model, texts, pooling)
    draft.replace(path)
    return Embedded(np.load(path, mmap_mode="r"), path, time.monotonic() - began)


def embed(model: Path, texts: Sequence[str], pooling: Pooling = POOLING) -> Iterator[tuple[list[int], Float32]]:
    """Batches of rows [n] of ``texts`` and their embeddings [n, D], on the CPU, shortest texts first.

    A text is cut off where the model's context ends; one without tokens has an embedding of zeros.
    """
    import torch

    tokenizer, network = _loaded(model)
    ids: list[list[int]] = tokenizer(list(texts), truncation=True, max_length=read_model(model).context)["input_ids"]
    for rows in _batches([len(row) for row in ids]):
        longest = max(1, *(len(ids[row]) for row in rows))
        padded = torch.tensor([ids[row] + [0] * (longest - len(ids[row])) for row in rows])
        mask = torch.tensor([[1] * len(ids[row]) + [0] * (longest - len(ids[row])) for row in rows])
        with torch.inference_mode():
            states = _states(network, padded, mask, pooling)
        kept = states.masked_fill(mask[:, :, None] == 0, 0.0)  # what stands on padding may be anything, even NaN
        yield rows, (kept.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)).numpy()


def _states(network: Any, ids: Any, mask: Any, pooling: Pooling) -> Any:
    """[n, T, D] of the last layer, or [n, T, 3 D] of three."""
    import torch

    found = network(input_ids=ids, attention_mask=mask, output_hidden_states=pooling == "layers")
    if pooling == "mean":
        return found.last_hidden_state.float()
    layers = found.hidden_states
    return torch.cat([layers[0], layers[len(layers) // 2], layers[-1]], -1).float()


def _loaded(model: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # it would write over the command line's own
    try:
        network = AutoModel.from_pretrained(model, dtype=torch.float32).eval()
        network.config.use_cache = False
        return AutoTokenizer.from_pretrained(model), network
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{model} cannot be loaded for embeddings: {reason}: choose another select.embeddings"
        ) from error


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of texts, by length, in batches of at most :data:`_TOKENS` with padding, but one text at least."""
    batch: list[int] = []
    for row in np.argsort(lengths, kind="stable").tolist():
        if batch and (len(batch) + 1) * lengths[row] > _TOKENS:
            yield batch
            batch = []
        batch.append(row)
    yield batch


def _write(path: Path, model: Path, texts: Sequence[str], pooling: Pooling) -> None:
    file: Any = None
    for rows, found in embed(model, texts, pooling):
        if file is None:
            file = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
                path, "w+", np.float32, (len(texts), found.shape[1])
            )
        file[rows] = found
    file.flush()


def _mapped(path: Path, rows: int) -> Float32 | None:
    """The file, if it is there and whole."""
    try:
        found: Float32 = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return found if found.ndim == 2 and len(found) == rows else None


def _digest(texts: Sequence[str]) -> str:
    digest = blake2b(digest_size=16)
    for text in texts:
        data = text.encode()
        digest.update(f"{len(data)} ".encode() + data)
    return digest.hexdigest()


def _cache() -> Path:
    """Where programs of this user keep what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "effrl" / "embeddings"
