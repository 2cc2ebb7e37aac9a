"""Where a model is, and what of it must be known before anything is started."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib import resources
from math import prod
from pathlib import Path
from typing import Any

from effrl.errors import UserError

_MODELS = Path(str(resources.files("effrl") / "tiny" / "models"))
BUILT_IN = {name: _MODELS / name for name in ("tiny", "tiny-sound", "tiny-llama", "tiny-ladder")}
"""Models of 1M parameters that the package carries; :mod:`effrl.tiny.make` says how they differ."""
TINY = BUILT_IN["tiny"]


def locate(path: str) -> Path:
    """The local directory of a model: a built-in tiny one, a directory, or a hub model (downloaded once).

    Raises:
        UserError: it is none of these.
    """
    directory = BUILT_IN.get(path, Path(path))
    if directory.is_dir():
        if not (directory / "config.json").is_file() or not list(directory.glob("*.safetensors")):
            raise UserError(f"model.path={path} is no model: {_missing(directory)}")
        return directory.resolve()
    if directory.exists() or directory.is_absolute() or path.startswith(".") or path.count("/") > 1:
        raise UserError(
            f"model.path={path} is no model directory; give a directory, a hub name, or one of {', '.join(BUILT_IN)}"
        )
    return _download(path)


def _missing(directory: Path) -> str:
    """What a directory has instead of a model, and what to do."""
    for pattern, instead in _INSTEAD.items():
        if list(directory.glob(pattern)):
            return instead
    return "a Hugging Face directory has config.json and *.safetensors"


_INSTEAD = {
    "adapter_config.json": "it is an adapter: merge it into its base (merge_and_unload of peft) and save that",
    "*.gguf": "GGUF is a format of other engines: use the Hugging Face directory that it was made from",
    "pytorch_model*.bin": "its weights are in pytorch_model*.bin: save it as safetensors, with save_pretrained",
}
"""What people have instead of a directory with config.json and safetensors."""


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"model.path={name} is neither a directory nor a hub model that can be loaded: {reason}"
        ) from error


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the files of a model say of it, read once."""

    path: Path
    """Its local directory."""
    config: Mapping[str, Any]
    """Its own ``config.json``, with today's names of sizes; of a model with several parts, that of its text part."""
    shapes: Mapping[str, Sequence[int]]
    """Shape of every tensor by name; tied tensors are there once."""
    has_chat_template: bool
    """Whether its tokenizer can render messages."""

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(map(prod, self.shapes.values()))

    @property
    def vocabulary(self) -> int | None:
        """Number of tokens that it has embeddings for; None where it does not say."""
        return self.config.get("vocab_size")

    def size(self, name: str) -> int:
        """A number of its config, such as ``num_hidden_layers``.

        Raises:
            UserError: it has none of this name.
        """
        found = self.config.get(name)
        if not isinstance(found, int):
            raise UserError(f"{self.path}/config.json has no {name}: use a model of a kind that transformers knows")
        return found

    @property
    def context(self) -> int:
        """Longest sequence that the model was made for, in tokens.

        Raises:
            UserError: the model does not say.
        """
        context = self.config.get("max_position_embeddings")
        if not isinstance(context, int):
            raise UserError(f"{self.path}/config.json has no max_position_embeddings: set model.context")
        return context

    def context_up_to(self, wanted: int | None) -> int:
        """The longest sequence to work with: ``wanted``, or the model's own limit.

        Raises:
            UserError: the model was made for less, or does not say for what.
        """
        made_for = self.config.get("max_position_embeddings")
        if wanted is None:
            return self.context
        if made_for is not None and wanted > made_for:
            raise UserError(
                f"model.context ({wanted}) is more than the {made_for} tokens that the model was made for: lower it"
            )
        return wanted


def find_model(path: str) -> ModelFacts:
    """Locate a model and read what its files say.

    Raises:
        UserError: there is none, or one of its files is damaged.
    """
    return read_model(locate(path))


def read_model(directory: Path) -> ModelFacts:
    """What the files of a model say; raises as :func:`find_model` does."""
    shapes = {name: shape for file in directory.glob("*.safetensors") for name, shape in _shapes(file).items()}
    return ModelFacts(directory, _config(directory), shapes, _has_chat_template(directory))


def _config(directory: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((directory / "config.json").read_text())
    except ValueError as error:
        raise UserError(f"{directory}/config.json is not JSON ({error}): download the model again") from error
    named = {_OLD_NAMES.get(key, key): value for key, value in config.items()}
    return {**named.get("text_config", {}), **named}


_OLD_NAMES = {
    "n_layer": "num_hidden_layers",
    "n_embd": "hidden_size",
    "n_head": "num_attention_heads",
    "n_positions": "max_position_embeddings",
}
"""What GPT-2 and its kin call a size."""


def _has_chat_template(directory: Path) -> bool:
    if (directory / "chat_template.jinja").is_file() or (directory / "additional_chat_templates").is_dir():
        return True
    try:
        return bool(json.loads((directory / "tokenizer_config.json").read_text()).get("chat_template"))
    except (OSError, ValueError):
        return False


def files_of(directory: Path) -> list[Path]:
    """All files of a model that are ever read: weights, config, tokenizer and chat template."""
    return sorted(path for pattern in _FILES for path in directory.glob(pattern))


_FILES = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja")


def fingerprint(directory: Path) -> str:
    """Digest of all that decides what a model computes of a prompt: weights, config, tokenizer and chat template.

    What was made with one model, such as scores or embeddings, is worth nothing with another; this tells them apart.
    """
    digest = blake2b(digest_size=16)
    for file in files_of(directory):
        with file.open("rb") as stream:
            digest.update(f"{file.name} {file.stat().st_size} ".encode())
            while chunk := stream.read(2**20):
                digest.update(chunk)
    return digest.hexdigest()


def _shapes(file: Path) -> dict[str, list[int]]:
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        try:
            header = json.loads(stream.read(min(size, _LONGEST_HEADER)))
        except ValueError as error:
            raise UserError(f"{file} is no safetensors file, or cut off: download the model again") from error
    return {name: tensor["shape"] for name, tensor in header.items() if name != "__metadata__"}


_LONGEST_HEADER = 100 * 2**20
"""What the format allows, in bytes; a file of another format begins with any number."""
